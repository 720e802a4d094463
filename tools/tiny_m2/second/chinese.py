"""The everyday tools and small talk in Chinese. Reports are functions of slots and result, as in toolbox.py."""
from typing import Any, Callable

Slots = dict[str, Any]


def first_of(result: dict[str, Any], *keys: str) -> Any:
    return next(result[key] for key in keys if key in result)


def weather(s: Slots, result: Any) -> str:
    if isinstance(result, str):
        degrees, sky = result.split(" degrees, ")
    else:
        degrees = first_of(result, "temperature", "temp", "temperature_c", "temp_c", "degrees")
        sky = first_of(result, "condition", "conditions", "sky", "weather", "description")
    return f"{s['city']}现在{degrees}度，天气{sky}。"


def notes(s: Slots, result: Any) -> str:
    if result["count"] == 0:
        return f"没有找到关于“{s['query']}”的笔记。"
    first = result["first"] if "first" in result else result["notes"][0]["text"]
    return f"找到{result['count']}条关于“{s['query']}”的笔记，第一条是“{first}”。"


def event_asks(s: Slots) -> list[str]:
    at = f"{s['hour']}点" if "hour" in s else ""
    return [f"请在{s['date']}{at}的日历里加上“{s['title']}”。", f"把“{s['title']}”安排在{s['date']}{at}。", f"{s['date']}{at}有“{s['title']}”，请记到日历里。"]


def notes_asks(s: Slots) -> list[str]:
    if "limit" in s:
        return [f"请找关于“{s['query']}”的笔记，最多{s['limit']}条。", f"搜索笔记“{s['query']}”，最多{s['limit']}条。"]
    return [f"请搜索关于“{s['query']}”的笔记。", f"我有没有关于“{s['query']}”的笔记？"]


def light_asks(s: Slots) -> list[str]:
    if "brightness" in s:
        return [f"把{s['room']}的灯调到百分之{s['brightness']}。", f"打开{s['room']}的灯，亮度百分之{s['brightness']}。"]
    return [f"{'打开' if s['on'] else '关掉'}{s['room']}的灯。", f"请把{s['room']}的灯{'打开' if s['on'] else '关掉'}。"]


ASKS: dict[str, Callable[[Slots], list[str]]] = {
    "get_weather": lambda s: [f"{s['city']}的天气怎么样？", f"{s['city']}今天天气如何？", f"请查一下{s['city']}的天气。", f"{s['city']}现在多少度？"],
    "get_time": lambda s: [f"{s['city']}现在几点？", f"请告诉我{s['city']}的时间。", f"查一下{s['city']}的当地时间。"],
    "send_message": lambda s: [f"给{s['to']}发消息：“{s['text']}”", f"请告诉{s['to']}：“{s['text']}”", f"把“{s['text']}”发给{s['to']}。"],
    "add_event": event_asks,
    "search_notes": notes_asks,
    "convert_currency": lambda s: [f"{s['amount']} {s['source']}等于多少{s['target']}？", f"把{s['amount']} {s['source']}换成{s['target']}。"],
    "set_light": light_asks,
    "create_list": lambda s: [f"建一个清单“{s['title']}”：{'、'.join(s['items'])}。", f"把{'、'.join(s['items'])}存为清单“{s['title']}”。"],
}
REPORTS: dict[str, Callable[[Slots, Any], str]] = {
    "get_weather": weather,
    "get_time": lambda s, result: f"{s['city']}现在是{first_of(result, 'time', 'local_time')}。",
    "send_message": lambda s, result: f"消息已发给{s['to']}。",
    "add_event": lambda s, result: f"“{s['title']}”已记入{s['date']}" + (f"{s['hour']}点" if "hour" in s else "") + "的日历。",
    "search_notes": notes,
    "convert_currency": lambda s, result: f"{s['amount']} {s['source']}等于{first_of(result, 'result', 'amount')} {s['target']}。",
    "set_light": lambda s, result: f"{s['room']}的灯已{'打开' if s['on'] else '关掉'}"
                                   + (f"，亮度百分之{s['brightness']}。" if "brightness" in s else "。"),
    "create_list": lambda s, result: f"清单“{s['title']}”已保存，共{len(s['items'])}项。",
}
CONDITIONS = "晴朗 多云 下雨 有风 有雾 下雪 潮湿 干燥".split()
GREETINGS, HELLO = ["你好", "你好！", "您好", "早上好！", "晚上好", "嗨", "你好啊"], "你好！有什么可以帮你？"
NO_TOOL = "抱歉，我没有可以做这件事的工具。"
