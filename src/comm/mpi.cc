#include "comm/mpi.h"

#ifdef MINIMAX_MPI
#include <cstdint>

#include <mpi.h>
#endif

#include "base/error.h"

namespace minimax::comm {

#ifdef MINIMAX_MPI
bool has_mpi() {
  return true;
}

std::string mpi_broadcast(const std::string& of_first) {
  MPI_Init(nullptr, nullptr);
  std::string text = of_first;
  uint64_t bytes = text.size();
  MPI_Bcast(&bytes, 1, MPI_UINT64_T, 0, MPI_COMM_WORLD);
  text.resize(bytes);
  MPI_Bcast(text.data(), static_cast<int>(bytes), MPI_CHAR, 0, MPI_COMM_WORLD);
  MPI_Finalize();
  return text;
}
#else
bool has_mpi() {
  return false;
}

std::string mpi_broadcast(const std::string&) {
  throw Error("this program was built without MPI");
}
#endif

}  // namespace minimax::comm
