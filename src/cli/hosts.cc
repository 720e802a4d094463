#include "cli/hosts.h"

#include <algorithm>
#include <csignal>
#include <sstream>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/log.h"
#include "cli/wire.h"
#include "comm/mpi.h"
#include "executor/host_group.h"

namespace minimax::cli {
namespace {

constexpr int kExitLost = 1;  // as that of a server whose model has failed

// MPI tells the others where host 0 is: "port address address ...".
std::unique_ptr<comm::Hosts> join_by_mpi(const ServeOptions& options, const comm::HostOptions& own) {
  if (!comm::has_mpi()) {
    throw UsageError(
        "--master-addr: {} processes were launched, and this program was built without MPI (cmake "
        "-DENABLE_MPI=ON); "
        "give the address of the first host",
        options.hosts);
  }
  if (own.rank == 0) {
    const comm::Listener listener("", options.master_port_given ? options.master_port : 0);
    comm::mpi_broadcast(fmt::format("{} {}", listener.port(), fmt::join(comm::own_addresses(), " ")));
    return std::make_unique<comm::Hosts>(own, listener);
  }
  std::istringstream told(comm::mpi_broadcast(""));
  int port = 0;
  std::vector<std::string> addresses;
  told >> port;
  for (std::string address; told >> address;) addresses.push_back(address);
  return std::make_unique<comm::Hosts>(own, addresses, port);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) out.push_back(line);
  return out;
}

// Every host's text, as long as each may be.
std::vector<std::string> texts_of_all(const std::string& own, comm::Hosts& hosts) {
  constexpr size_t kBytes = 4096;
  std::string padded = own.substr(0, kBytes);
  padded.resize(kBytes, '\0');
  std::vector<std::string> all(static_cast<size_t>(hosts.count()), padded);
  std::vector<std::span<std::byte>> theirs;
  for (std::string& text : all) theirs.push_back(std::as_writable_bytes(std::span(text)));
  hosts.exchange(std::as_bytes(std::span(padded)), theirs);
  for (std::string& text : all) text.resize(text.find_last_not_of('\0') + 1);
  return all;
}

}  // namespace

std::unique_ptr<comm::Hosts> join_hosts(const ServeOptions& options) {
  if (options.hosts == 1) return nullptr;
  const comm::HostOptions own{.rank = options.host_rank, .count = options.hosts};
  log::info("host {} of {}: {}", own.rank, own.count,
            own.rank == 0 ? "waiting for the others" : "looking for host 0");
  std::unique_ptr<comm::Hosts> hosts;
  if (options.master_address.empty()) {
    hosts = join_by_mpi(options, own);
  } else if (own.rank == 0) {
    const comm::Listener listener(options.master_address, options.master_port);
    hosts = std::make_unique<comm::Hosts>(own, listener);
  } else {
    hosts = std::make_unique<comm::Hosts>(own, std::span(&options.master_address, 1), options.master_port);
  }
  log::info("all {} hosts are here", own.count);
  return hosts;
}

void check_same(const std::string& facts, comm::Hosts& hosts) {
  const std::vector<std::string> all = texts_of_all(facts, hosts);
  const std::vector<std::string> first = lines_of(all.front());
  for (size_t host = 1; host < all.size(); ++host) {
    const std::vector<std::string> own = lines_of(all[host]);
    for (size_t i = 0; i < std::max(first.size(), own.size()); ++i) {
      const std::string a = i < first.size() ? first[i] : "nothing", b = i < own.size() ? own[i] : "nothing";
      if (a != b)
        throw Error("all hosts must be started alike: host 0 has \"{}\", host {} has \"{}\"", a, host, b);
    }
  }
}

int64_t least(int64_t own, comm::Hosts& hosts) {
  std::vector<int64_t> all(static_cast<size_t>(hosts.count()), own);
  std::vector<std::span<std::byte>> theirs;
  for (int64_t& value : all) theirs.push_back(std::as_writable_bytes(std::span(&value, 1)));
  hosts.exchange(std::as_bytes(std::span(&own, 1)), theirs);
  return *std::ranges::min_element(all);
}

int follow_hosts(const ServeOptions& options, const Environment& environment, comm::Hosts& hosts) {
  // Whoever started the processes ends them together; host 0 answers what is open, and needs this one for it.
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGTERM, SIG_IGN);
  LoadedModel model(options, environment);
  model.make_executors(options, &hosts);
  log::info("host {} of {}: ready; host 0 holds the server", hosts.rank(), hosts.count());
  try {
    executor::follow(*model.executors().front(), hosts);
  } catch (const Error& error) {
    log::error("{}", error.what());
    std::fflush(nullptr);
    std::_Exit(kExitLost);  // a rank of this host may wait for those of the lost one
  }
  log::info("host 0 has ended; so does this one");
  return 0;
}

}  // namespace minimax::cli
