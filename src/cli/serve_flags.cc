#include "cli/serve_flags.h"

namespace minimax::cli {
namespace {

constexpr FlagKind kDone = FlagKind::kDone;
constexpr FlagKind kAccepted = FlagKind::kAccepted;
constexpr FlagKind kRefused = FlagKind::kRefused;

constexpr std::string_view kModel = "Model";
constexpr std::string_view kServer = "Server";
constexpr std::string_view kParsers = "Tools and thinking";
constexpr std::string_view kSampling = "Sampling";
constexpr std::string_view kScheduler = "Scheduler";
constexpr std::string_view kCache = "KV cache";
constexpr std::string_view kParallel = "Parallel";
constexpr std::string_view kKernels = "Back-end and kernels";
constexpr std::string_view kLogs = "Logs";
constexpr std::string_view kNever = "Not offered";

// name, short, group, kind, metavar, default, help, negatable, list
constexpr Flag kFlags[] = {
    {"--model", "", kModel, kDone, "MODEL", "", "the model, in the place of the positional argument"},
    {"--tokenizer", "", kModel, kDone, "DIR", "the model's", "directory that holds tokenizer.json"},
    {"--revision", "", kModel, kDone, "REV", "main",
     "branch, tag or commit of a hub model in the local cache"},
    {"--download-dir", "", kModel, kDone, "DIR", "", "hub cache to look in, before HF_HUB_CACHE and HF_HOME"},
    {"--served-model-name", "", kModel, kDone, "NAME", "MODEL",
     "names clients may use; the first is reported", false, true},
    {"--max-model-len", "", kModel, kDone, "N", "from config.json",
     "longest context in tokens; -1: what fits the KV cache; suffixes k, m, K, M"},
    {"--chat-template", "", kModel, kRefused, "FILE", "",
     "templates other than the family's are not interpreted yet; the family's own is built in"},
    {"--chat-template-content-format", "", kModel, kAccepted, "FORMAT", "",
     "content is taken as a string or as parts, whichever the client sends"},
    {"--trust-remote-code", "", kModel, kAccepted, "", "", "no code of the model is ever run", true},
    {"--load-format", "", kModel, kDone, "FORMAT", "auto", "auto or safetensors"},
    {"--dtype", "", kModel, kDone, "DTYPE", "auto", "auto or bfloat16"},
    {"--quantization", "-q", kModel, kDone, "METHOD", "from config.json", "fp8, as the checkpoint is"},
    {"--tokenizer-mode", "", kModel, kAccepted, "MODE", "", "there is one tokenizer, and it is fast"},
    {"--safetensors-load-strategy", "", kModel, kAccepted, "NAME", "", "files are mapped into memory"},

    {"--host", "", kServer, kDone, "ADDRESS", "127.0.0.1", "address to listen on; 0.0.0.0 for all"},
    {"--port", "", kServer, kDone, "PORT", "8000", "port to listen on; 0 picks a free one and prints it"},
    {"--api-key", "", kServer, kDone, "KEY", "VLLM_API_KEY",
     "keys clients must send (Authorization: Bearer KEY)", false, true},
    {"--allowed-origins", "", kServer, kDone, "JSON", "[\"*\"]", "origins of CORS"},
    {"--allowed-methods", "", kServer, kDone, "JSON", "[\"*\"]", "methods of CORS"},
    {"--allowed-headers", "", kServer, kDone, "JSON", "[\"*\"]", "headers of CORS"},
    {"--allow-credentials", "", kServer, kDone, "", "off", "credentials of CORS", true},
    {"--max-request-bytes", "", kServer, kDone, "N", "32M", "largest request body"},
    {"--request-timeout", "", kServer, kDone, "SECONDS", "60", "time a client has to send its request"},
    {"--shutdown-timeout", "", kServer, kDone, "SECONDS", "30",
     "on SIGTERM, time the open requests have to finish"},
    {"--config", "", kServer, kDone, "FILE", "", "YAML file of flags; the command line wins"},
    {"--root-path", "", kServer, kAccepted, "PATH", "", "paths are served as they are, behind a proxy too"},
    {"--api-server-count", "", kServer, kAccepted, "N", "", "one process serves all connections"},
    {"--enable-request-id-headers", "", kServer, kAccepted, "", "", "X-Request-Id is always echoed", true},

    {"--tool-call-parser", "", kParsers, kDone, "NAME", "", "minimax_m2"},
    {"--reasoning-parser", "", kParsers, kDone, "NAME", "", "minimax_m2 or minimax_m2_append_think"},
    {"--enable-auto-tool-choice", "", kParsers, kDone, "", "off",
     "tools without tool_choice are offered to the model", true},
    {"--exclude-tools-when-tool-choice-none", "", kParsers, kDone, "", "off",
     "with tool_choice none, tools are not in the prompt either", true},
    {"--default-chat-template-kwargs", "", kParsers, kDone, "JSON", "",
     "chat_template_kwargs of requests without"},

    {"--generation-config", "", kSampling, kDone, "auto|vllm|DIR", "auto",
     "where sampling defaults come from: the model, nowhere, or another directory"},
    {"--override-generation-config", "", kSampling, kDone, "JSON", "",
     "sampling defaults, over those of the model"},
    {"--seed", "", kSampling, kDone, "N", "0", "where the seeds of requests without a seed start"},
    {"--max-logprobs", "", kSampling, kDone, "N", "20", "largest number of log-probabilities; -1: all"},
    {"--logprobs-mode", "", kSampling, kDone, "MODE", "raw_logprobs", "raw_logprobs"},

    {"--max-num-seqs", "", kScheduler, kDone, "N", "256", "sequences that run at once"},
    {"--max-num-batched-tokens", "", kScheduler, kDone, "N", "by back-end", "rows of one step"},
    {"--max-waiting-requests", "", kScheduler, kDone, "N", "4096", "requests that may wait; beyond, 429"},
    {"--scheduling-policy", "", kScheduler, kDone, "NAME", "fcfs", "fcfs or priority"},
    {"--enable-chunked-prefill", "", kScheduler, kAccepted, "", "",
     "prompts are always computed in chunks; tokens do not depend on it", true},
    {"--async-scheduling", "", kScheduler, kAccepted, "", "", "the back-end decides how far steps overlap",
     true},
    {"--stream-interval", "", kScheduler, kAccepted, "N", "", "every token is sent as it comes"},

    {"--enable-prefix-caching", "", kCache, kDone, "", "on",
     "prompts share the blocks of what they have in common", true},
    {"--block-size", "", kCache, kDone, "N", "16", "tokens of a KV block"},
    {"--kv-cache-dtype", "", kCache, kDone, "DTYPE", "auto", "auto or bfloat16"},
    {"--kv-cache-memory-bytes", "", kCache, kDone, "N", "by memory", "size of the KV cache; suffixes M, G"},
    {"--gpu-memory-utilization", "", kCache, kAccepted, "X", "",
     "concerns GPUs; on a CPU the KV cache is sized by --kv-cache-memory-bytes"},
    {"--swap-space", "", kCache, kAccepted, "GIB", "",
     "nothing is swapped: a preempted sequence is recomputed"},
    {"--prefix-caching-hash-algo", "", kCache, kAccepted, "NAME", "",
     "blocks are found by a 128-bit hash and compared token by token"},
    {"--cpu-offload-gb", "", kCache, kAccepted, "GIB", "", "on a CPU the weights are there already"},

    {"--tensor-parallel-size", "-tp", kParallel, kAccepted, "N", "",
     "the CPU back-end runs the model once, on all cores; nothing is split"},
    {"--data-parallel-size", "-dp", kParallel, kAccepted, "N", "",
     "the CPU back-end runs one replica, on all cores"},
    {"--enable-expert-parallel", "", kParallel, kAccepted, "", "", "on the CPU all experts are in one memory",
     true},
    {"--disable-custom-all-reduce", "", kParallel, kAccepted, "", "", "there is nothing to reduce on one CPU",
     true},
    {"--distributed-executor-backend", "", kParallel, kAccepted, "NAME", "", "one process does everything"},

    {"--backend", "", kKernels, kDone, "NAME", "cpu", "cpu, cuda where built with it, or ref, the slow reference"},
    {"--threads", "", kKernels, kDone, "N", "all cores", "threads of the CPU back-end"},
    {"--cpu-isa", "", kKernels, kDone, "NAME", "best", "avx512, avx2 or scalar"},
    {"--linear-precision", "", kKernels, kDone, "NAME", "by checkpoint", "bf16, w8a16 or w8a8"},
    {"--compilation-config", "-O", kKernels, kAccepted, "JSON", "",
     "graph modes concern GPUs; tokens are the same in all"},
    {"--enforce-eager", "", kKernels, kAccepted, "", "", "there are no graphs on a CPU", true},
    {"--attention-backend", "", kKernels, kAccepted, "NAME", "", "the CPU back-end has one"},
    {"--moe-backend", "", kKernels, kAccepted, "NAME", "", "the CPU back-end has one"},
    {"--disable-cascade-attn", "", kKernels, kAccepted, "", "", "there is none", true},

    {"--enable-log-requests", "", kLogs, kDone, "", "off", "one line a request: id, tokens, reason, times",
     true},
    {"--disable-log-requests", "", kLogs, kAccepted, "", "",
     "requests are not logged unless --enable-log-requests"},
    {"--disable-log-stats", "", kLogs, kDone, "", "off", "no line of statistics every 10 s", true},
    {"--enable-prompt-tokens-details", "", kLogs, kDone, "", "off", "cached tokens in usage", true},
    {"--enable-force-include-usage", "", kLogs, kDone, "", "off", "usage in every stream", true},
    {"--disable-uvicorn-access-log", "", kLogs, kAccepted, "", "", "there is no access log", true},
    {"--uvicorn-log-level", "", kLogs, kDone, "LEVEL", "info", "debug, info, warning or error"},

    {"--pipeline-parallel-size", "-pp", kNever, kRefused, "N", "", "pipeline parallelism is not supported"},
    {"--enable-lora", "", kNever, kRefused, "", "", "LoRA adapters are not supported"},
    {"--speculative-config", "", kNever, kRefused, "JSON", "",
     "not offered yet; the published checkpoints hold no draft (MTP) weights"},
    {"--enable-sleep-mode", "", kNever, kRefused, "", "", "not offered"},
    {"--ssl-keyfile", "", kNever, kRefused, "FILE", "",
     "TLS is not offered yet; put a proxy such as nginx in front"},
    {"--ssl-certfile", "", kNever, kRefused, "FILE", "",
     "TLS is not offered yet; put a proxy such as nginx in front"},
    {"--tool-parser-plugin", "", kNever, kRefused, "FILE", "",
     "no Python is run; the family's parser is built in"},
    {"--reasoning-parser-plugin", "", kNever, kRefused, "FILE", "",
     "no Python is run; the family's parsers are built in"},
    {"--structured-outputs-config", "", kNever, kRefused, "JSON", "", "guided output is not offered yet"},
    {"--middleware", "", kNever, kRefused, "NAME", "", "no Python is run"},
    {"--limit-mm-per-prompt", "", kNever, kRefused, "JSON", "", "the family reads text only"},
    {"--kv-transfer-config", "", kNever, kRefused, "JSON", "", "not offered"},
    {"--uds", "", kNever, kRefused, "PATH", "", "not offered yet; use --host and --port"},
    {"--headless", "", kNever, kRefused, "", "", "one process serves; there are no other nodes yet"},
};

constexpr Verb kVerb{"serve", "MODEL",
                     "Serves MODEL over the OpenAI API. MODEL is a directory in Hugging Face layout, a hub "
                     "name (ORG/NAME) in the local "
                     "hub cache, or tiny: the small real model that ships with minimax.",
                     kFlags, 1};

}  // namespace

const Verb& serve_verb() {
  return kVerb;
}

}  // namespace minimax::cli
