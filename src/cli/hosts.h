#pragma once
// `minimax serve` on several hosts: how its processes find each other, and what those without the server do.

#include <memory>

#include "cli/environment.h"
#include "cli/serve_options.h"
#include "comm/hosts.h"

namespace minimax::cli {

// Waits for the others. nullptr: there is one host. Throws Error.
std::unique_ptr<comm::Hosts> join_hosts(const ServeOptions& options);

// Of a host that is not the first: computes what that one says until it ends. The exit code.
int follow_hosts(const ServeOptions& options, const Environment& environment, comm::Hosts& hosts);

// Throws Error with the first difference if the hosts were not given the same; `facts` are lines "name:
// value".
void check_same(const std::string& facts, comm::Hosts& hosts);
// The least of the values of all hosts.
int64_t least(int64_t own, comm::Hosts& hosts);

}  // namespace minimax::cli
