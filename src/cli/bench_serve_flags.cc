#include "cli/bench_serve_flags.h"

namespace minimax::cli {
namespace {

constexpr FlagKind kDone = FlagKind::kDone;
constexpr FlagKind kAccepted = FlagKind::kAccepted;
constexpr FlagKind kRefused = FlagKind::kRefused;

constexpr std::string_view kServer = "Server";
constexpr std::string_view kLoad = "Load";
constexpr std::string_view kRequests = "Requests";
constexpr std::string_view kDataset = "Dataset";
constexpr std::string_view kAgent = "Dataset agent (multi-turn sessions with tools)";
constexpr std::string_view kOutput = "Output";
constexpr std::string_view kNever = "Not offered";
constexpr std::string_view kTextOnly = "the family reads and writes text only";
constexpr std::string_view kNoDownload =
    "nothing is downloaded; convert it to a file of --dataset-name custom";

// name, short, group, kind, metavar, default, help, negatable, list
constexpr Flag kFlags[] = {
    {"--backend", "", kServer, kDone, "NAME", "openai",
     "vllm or openai: completions; openai-chat: chat completions"},
    {"--base-url", "", kServer, kDone, "URL", "", "http://HOST:PORT, in the place of --host and --port"},
    {"--host", "", kServer, kDone, "HOST", "127.0.0.1", "of the server"},
    {"--port", "", kServer, kDone, "PORT", "8000", "of the server"},
    {"--endpoint", "", kServer, kDone, "PATH", "/v1/completions", "path requests are sent to"},
    {"--header", "", kServer, kDone, "K=V", "", "headers of every request", false, true},
    {"--model", "", kServer, kDone, "NAME", "the server's first", "name of the model; its tokenizer is used"},
    {"--served-model-name", "", kServer, kDone, "NAME", "--model", "name of the model in requests"},
    {"--tokenizer", "", kServer, kDone, "DIR", "the model's, else the server's /tokenize",
     "directory or hub name of the tokenizer"},
    {"--tokenizer-mode", "", kServer, kAccepted, "MODE", "", "there is one tokenizer, and it is fast"},
    {"--skip-tokenizer-init", "", kServer, kDone, "", "off", "use no tokenizer; tokens are those of usage"},
    {"--trust-remote-code", "", kServer, kAccepted, "", "", "no code of the model is ever run"},
    {"--ready-check-timeout-sec", "", kServer, kDone, "SECONDS", "0",
     "wait so long for the server to answer a first request; 0: do not ask"},
    {"--stall-timeout", "", kServer, kDone, "SECONDS", "600",
     "a stream from which nothing comes for so long has failed"},

    {"--num-prompts", "", kLoad, kDone, "N", "1000", "requests; of agent: sessions"},
    {"--max-concurrency", "", kLoad, kDone, "N", "none", "requests (of agent: sessions) under way at once"},
    {"--request-rate", "", kLoad, kDone, "RPS", "inf", "requests a second; inf: all at once"},
    {"--burstiness", "", kLoad, kDone, "X", "1.0",
     "shape of the gamma gaps: 1 Poisson, below bursty, inf even"},
    {"--ramp-up-strategy", "", kLoad, kDone, "NAME", "none", "linear or exponential growth of the rate"},
    {"--ramp-up-start-rps", "", kLoad, kDone, "RPS", "", "rate of the first request"},
    {"--ramp-up-end-rps", "", kLoad, kDone, "RPS", "", "rate of the last request"},
    {"--num-warmups", "", kLoad, kDone, "N", "0", "requests sent before, not measured"},
    {"--self-timed", "", kLoad, kDone, "", "on for timed_trace", "send at the times of the dataset", true},
    {"--probe-request-rate", "", kLoad, kRefused, "RPS", "", "probes beside the load are not sent"},

    {"--ignore-eos", "", kRequests, kDone, "", "on for random and timed_trace", "ask for all output tokens",
     true},
    {"--logprobs", "", kRequests, kDone, "N", "none", "log-probabilities a token"},
    {"--temperature", "", kRequests, kDone, "X", "the server's", "of sampling"},
    {"--top-p", "", kRequests, kDone, "X", "the server's", "of sampling"},
    {"--top-k", "", kRequests, kDone, "N", "the server's", "of sampling"},
    {"--min-p", "", kRequests, kDone, "X", "the server's", "of sampling"},
    {"--frequency-penalty", "", kRequests, kDone, "X", "the server's", "of sampling"},
    {"--presence-penalty", "", kRequests, kDone, "X", "the server's", "of sampling"},
    {"--repetition-penalty", "", kRequests, kDone, "X", "vllm: 1.0, openai: not sent", "of sampling"},
    {"--extra-body", "", kRequests, kDone, "JSON", "",
     "members of every request, over all others; null takes one out"},
    {"--request-id-prefix", "", kRequests, kDone, "TEXT", "bench-XXXXXXXX-",
     "X-Request-Id of a request is this and its number; X: random, so that two clients do not meet"},
    {"--chat-template-kwargs", "", kRequests, kDone, "JSON", "",
     "chat_template_kwargs where this side renders the prompt (custom)"},
    {"--use-beam-search", "", kRequests, kRefused, "", "", "streams of a beam search have no token times"},
    {"--lora-modules", "", kRequests, kRefused, "NAME", "", "the family is served without adapters"},
    {"--lora-assignment", "", kRequests, kRefused, "NAME", "", "the family is served without adapters"},

    {"--dataset-name", "", kDataset, kDone, "NAME", "random",
     "random, sharegpt, custom, prefix_repetition, burstgpt, timed_trace or agent"},
    {"--dataset-path", "", kDataset, kDone, "FILE", "", "of sharegpt, custom, burstgpt, timed_trace"},
    {"--seed", "", kDataset, kDone, "N", "0", "of all draws"},
    {"--input-len", "", kDataset, kDone, "N", "", "input length of the dataset that has one"},
    {"--output-len", "", kDataset, kDone, "N", "", "output length of the dataset that has one"},
    {"--no-oversample", "", kDataset, kDone, "", "off", "do not repeat requests of a short file"},
    {"--disable-shuffle", "", kDataset, kDone, "", "off", "keep the order of the dataset"},
    {"--skip-chat-template", "", kDataset, kDone, "", "off", "custom: send prompts as they are"},
    {"--random-input-len", "", kDataset, kDone, "N", "1024", "tokens of a prompt"},
    {"--random-output-len", "", kDataset, kDone, "N", "128", "tokens of an answer"},
    {"--random-range-ratio", "", kDataset, kDone, "X|JSON", "0",
     "lengths are drawn from len (1 - X) to len (1 + X); {\"input\": X, \"output\": Y}"},
    {"--random-prefix-len", "", kDataset, kDone, "N", "0", "tokens that all prompts begin with, in addition"},
    {"--sharegpt-output-len", "", kDataset, kDone, "N", "the file's", "tokens of an answer"},
    {"--custom-output-len", "", kDataset, kDone, "N", "256",
     "tokens of an answer; -1: output_tokens of the line"},
    {"--prefix-repetition-prefix-len", "", kDataset, kDone, "N", "256", "tokens of a prefix"},
    {"--prefix-repetition-suffix-len", "", kDataset, kDone, "N", "256", "tokens behind the prefix"},
    {"--prefix-repetition-num-prefixes", "", kDataset, kDone, "N", "10", "prefixes"},
    {"--prefix-repetition-output-len", "", kDataset, kDone, "N", "128", "tokens of an answer"},
    {"--timed-trace-chunk-hash-size", "", kDataset, kDone, "N", "16", "tokens that one hash stands for"},
    {"--timed-trace-sec-multiplier", "", kDataset, kDone, "X", "1", "seconds of a unit of the timestamps"},
    {"--timed-trace-label-timestamp", "", kDataset, kDone, "KEY", "timestamp", "member of a line"},
    {"--timed-trace-label-input-length", "", kDataset, kDone, "KEY", "input_length", "member of a line"},
    {"--timed-trace-label-output-length", "", kDataset, kDone, "KEY", "output_length", "member of a line"},
    {"--timed-trace-label-hash-ids", "", kDataset, kDone, "KEY", "hash_ids", "member of a line"},
    {"--no-stream", "", kDataset, kAccepted, "", "", "files are read whole"},

    {"--agent-turns", "", kAgent, kDone, "N", "8", "requests of a session"},
    {"--agent-system-len", "", kAgent, kDone, "N", "1024", "tokens of the system message all sessions share"},
    {"--agent-task-len", "", kAgent, kDone, "N", "128", "tokens of a session's task"},
    {"--agent-result-len", "", kAgent, kDone, "N", "256", "mean tokens of a tool's result"},
    {"--agent-output-len", "", kAgent, kDone, "N", "256", "most tokens of an answer"},
    {"--agent-think-time", "", kAgent, kDone, "SECONDS", "0.5",
     "mean time between an answer and the next request"},

    {"--percentile-metrics", "", kOutput, kDone, "LIST", "ttft,tpot,itl", "blocks to show; e2el too"},
    {"--metric-percentiles", "", kOutput, kDone, "LIST", "99", "percentiles to show"},
    {"--goodput", "", kOutput, kDone, "K:MS", "", "ttft:MS tpot:MS e2el:MS: what a good request keeps", false,
     true},
    {"--save-result", "", kOutput, kDone, "", "off", "write the result as JSON"},
    {"--save-detailed", "", kOutput, kDone, "", "off", "with the series of every request"},
    {"--append-result", "", kOutput, kDone, "", "off", "append to the file, one JSON a line"},
    {"--result-dir", "", kOutput, kDone, "DIR", ".", "where the file goes"},
    {"--result-filename", "", kOutput, kDone, "NAME", "by rate, model and date", "name of the file"},
    {"--metadata", "", kOutput, kDone, "K=V", "", "members of the JSON", false, true},
    {"--label", "", kOutput, kDone, "TEXT", "--backend", "begins the default file name"},
    {"--disable-tqdm", "", kOutput, kDone, "", "off", "no progress on the terminal"},
    {"--plot-timeline", "", kOutput, kRefused, "", "", "minimax bench sweep --report draws the timeline"},
    {"--timeline-itl-thresholds", "", kOutput, kRefused, "LIST", "",
     "minimax bench sweep --report draws the timeline"},
    {"--plot-dataset-stats", "", kOutput, kRefused, "", "", "there is no such picture"},

    {"--profile", "", kNever, kRefused, "", "", "the server has no profiler to start"},
    {"--insecure", "", kNever, kRefused, "", "", "https is not spoken; name the proxy's plain port"},
    {"--enable-multimodal-chat", "", kNever, kRefused, "", "", kTextOnly},
    {"--custom-ensure-client-side-data", "", kNever, kRefused, "", "", kTextOnly},
    {"--random-batch-size", "", kNever, kRefused, "N", "", kTextOnly},
    {"--no-reranker", "", kNever, kRefused, "", "", kTextOnly},
    {"--random-mm-base-items-per-request", "", kNever, kRefused, "N", "", kTextOnly},
    {"--random-mm-num-mm-items-range-ratio", "", kNever, kRefused, "X", "", kTextOnly},
    {"--random-mm-limit-mm-per-prompt", "", kNever, kRefused, "JSON", "", kTextOnly},
    {"--random-mm-bucket-config", "", kNever, kRefused, "JSON", "", kTextOnly},
    {"--asr-max-audio-len-sec", "", kNever, kRefused, "X", "", kTextOnly},
    {"--asr-min-audio-len-sec", "", kNever, kRefused, "X", "", kTextOnly},
    {"--hf-subset", "", kNever, kRefused, "NAME", "", kNoDownload},
    {"--hf-split", "", kNever, kRefused, "NAME", "", kNoDownload},
    {"--hf-name", "", kNever, kRefused, "NAME", "", kNoDownload},
    {"--hf-output-len", "", kNever, kRefused, "N", "", kNoDownload},
    {"--blazedit-min-distance", "", kNever, kRefused, "X", "", kNoDownload},
    {"--blazedit-max-distance", "", kNever, kRefused, "X", "", kNoDownload},
    {"--bfcl-categories", "", kNever, kRefused, "LIST", "", kNoDownload},
    {"--sonnet-input-len", "", kNever, kRefused, "N", "", kNoDownload},
    {"--sonnet-output-len", "", kNever, kRefused, "N", "", kNoDownload},
    {"--sonnet-prefix-len", "", kNever, kRefused, "N", "", kNoDownload},
    {"--spec-bench-output-len", "", kNever, kRefused, "N", "", kNoDownload},
    {"--spec-bench-category", "", kNever, kRefused, "NAME", "", kNoDownload},
    {"--speed-bench-dataset-subset", "", kNever, kRefused, "NAME", "", kNoDownload},
    {"--speed-bench-output-len", "", kNever, kRefused, "N", "", kNoDownload},
    {"--speed-bench-category", "", kNever, kRefused, "NAME", "", kNoDownload},
};

}  // namespace

std::span<const Flag> bench_serve_flags() {
  return kFlags;
}

}  // namespace minimax::cli
