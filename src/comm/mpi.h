#pragma once
// Open MPI as the one who starts the processes: it knows which they are and carries the first word between
// them. Nothing after that: an MPI process does not outlive the death of another, so it could not tell its
// clients.

#include <string>

namespace minimax::comm {

// Whether the program was built with MPI.
bool has_mpi();

// What the process of rank 0 says, on all of them. Begins and ends MPI: once in a process. Throws Error
// without MPI.
std::string mpi_broadcast(const std::string& of_first);

}  // namespace minimax::comm
