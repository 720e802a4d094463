"""Agents that people run, unmodified, against `minimax serve tiny`: one that speaks OpenAI's Responses (and chat), one that
speaks Anthropic's Messages. Each calls a tool, gets its result and answers."""
import asyncio
import json

import agents
import anthropic
import openai
import pytest
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.providers.anthropic import AnthropicProvider

QUESTION = "What is the weather in Paris?"
asked: list = []


def get_weather(city: str) -> str:
    """Get the current weather of a city."""
    asked.append(city)
    return json.dumps({"temperature": 21, "condition": "sunny"})


@pytest.fixture(autouse=True)
def nothing_asked_yet():
    asked.clear()


def openai_agent(server, kind):
    agents.set_tracing_disabled(True)
    client = openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)
    model = (agents.OpenAIResponsesModel if kind == "responses" else agents.OpenAIChatCompletionsModel)(model="tiny", openai_client=client)
    return agents.Agent(name="weather", model=model, tools=[agents.function_tool(get_weather, strict_mode=False)],
                        model_settings=agents.ModelSettings(temperature=0))


@pytest.mark.parametrize("kind", ["responses", "chat"])
def test_openai_agents(server, kind):
    result = asyncio.run(agents.Runner.run(openai_agent(server, kind), QUESTION))
    assert asked == ["Paris"]
    assert "21" in result.final_output


def test_openai_agents_streamed(server):
    async def run():
        stream = agents.Runner.run_streamed(openai_agent(server, "responses"), QUESTION)
        kinds = [event.type async for event in stream.stream_events()]
        return stream.final_output, kinds
    output, kinds = asyncio.run(run())
    assert asked == ["Paris"] and "21" in output and "raw_response_event" in kinds


def test_pydantic_ai_speaks_anthropic(server):
    client = anthropic.AsyncAnthropic(base_url=server.url, api_key="none", max_retries=0)
    agent = Agent(AnthropicModel("tiny", provider=AnthropicProvider(anthropic_client=client)), tools=[get_weather],
                  model_settings={"temperature": 0, "max_tokens": 400})
    result = asyncio.run(agent.run(QUESTION))
    assert asked == ["Paris"]
    assert "21" in result.output
