#include "model/checkpoint.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <span>
#include <unordered_map>

#include <fcntl.h>
#include <simdjson.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "model/json_file.h"
#include "model/safetensors.h"

namespace minimax::model {

namespace fs = std::filesystem;

namespace {

constexpr const char* kSingleName = "model.safetensors";
constexpr const char* kIndexName = "model.safetensors.index.json";
constexpr size_t kNamesShown = 5;

// One read-only mapping of a whole file.
class MappedFile {
 public:
  explicit MappedFile(const fs::path& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) throw Error("{}: cannot be opened: {}.", path.string(), std::strerror(errno));
    struct stat status {};
    if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
      ::close(fd);
      throw Error("{}: expected a regular file, found something else.", path.string());
    }
    bytes_ = static_cast<size_t>(status.st_size);
    if (bytes_ > 0) {
      data_ = ::mmap(nullptr, bytes_, PROT_READ, MAP_PRIVATE, fd, 0);
      if (data_ == MAP_FAILED) {
        const int code = errno;
        ::close(fd);
        throw Error("{}: cannot be mapped: {}.", path.string(), std::strerror(code));
      }
    }
    ::close(fd);
  }
  ~MappedFile() {
    if (bytes_ > 0) ::munmap(data_, bytes_);
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(data_), bytes_}; }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

// The index as it says: each name's file, files in the order of their names.
struct ShardIndex {
  std::unordered_map<std::string, std::string> file_of_name;
  std::vector<std::string> files;
};

ShardIndex read_index(const fs::path& path) {
  const std::string text = read_text_file(path);
  simdjson::dom::parser parser;
  const simdjson::padded_string padded(text);
  simdjson::dom::object map;
  // Read here and not as Json, which would hide a name that comes twice.
  if (const auto code = parser.parse(padded)["weight_map"].get(map); code != simdjson::SUCCESS)
    throw Error("{}: expected JSON with an object \"weight_map\": {}", path.string(),
                simdjson::error_message(code));
  ShardIndex index;
  for (const auto [name, value] : map) {
    std::string_view file;
    if (value.get(file) != simdjson::SUCCESS)
      throw Error("{}: tensor {}: expected a file name.", path.string(), quote_name(name));
    if (file.empty() || file.find('/') != std::string_view::npos || !file.ends_with(".safetensors"))
      throw Error("{}: tensor {}: expected the name of a .safetensors file in this folder, found {}.",
                  path.string(), quote_name(name), quote_name(file));
    if (!index.file_of_name.emplace(name, file).second)
      throw Error("{}: tensor {} comes twice.", path.string(), quote_name(name));
    index.files.emplace_back(file);
  }
  if (index.files.empty()) throw Error("{}: \"weight_map\" is empty.", path.string());
  std::sort(index.files.begin(), index.files.end());
  index.files.erase(std::unique(index.files.begin(), index.files.end()), index.files.end());
  return index;
}

void check_shards_exist(const fs::path& model_dir, const ShardIndex& index) {
  std::vector<std::string> missing;
  for (const std::string& file : index.files) {
    std::error_code code;
    if (!fs::exists(model_dir / file, code)) missing.push_back(file);
  }
  if (missing.empty()) return;
  const size_t count = missing.size();
  if (count > kNamesShown) missing.resize(kNamesShown);
  throw Error("{}: {} of {} shards named by {} are missing: {}{}. Was the download finished?",
              model_dir.string(), count, index.files.size(), kIndexName, fmt::join(missing, ", "),
              count > kNamesShown ? ", ..." : "");
}

}  // namespace

struct Checkpoint::Impl {
  std::deque<MappedFile> maps;
  std::vector<fs::path> files;
  std::deque<std::string> names;  // views point into it: a deque never moves its elements
  std::vector<TensorView> tensors;
  std::unordered_map<std::string_view, size_t> by_name;
  uint64_t total_bytes = 0;

  void add_file(const fs::path& path) {
    files.push_back(path);
    const auto bytes = maps.emplace_back(path).bytes();
    for (HeaderEntry& entry : parse_safetensors_header(bytes, path.string())) {
      TensorView view;
      view.name = names.emplace_back(std::move(entry.name));
      view.dtype = entry.dtype;
      view.shape = std::move(entry.shape);
      view.data = bytes.data() + entry.begin;
      view.bytes = entry.bytes;
      view.file_idx = static_cast<int32_t>(files.size() - 1);
      view.file_offset = entry.begin;
      const auto [place, inserted] = by_name.emplace(view.name, tensors.size());
      if (!inserted)
        throw Error("{}: tensor {} is in {} too.", path.string(), quote_name(view.name),
                    files[static_cast<size_t>(tensors[place->second].file_idx)].string());
      total_bytes += entry.bytes;
      tensors.push_back(std::move(view));
    }
  }

  void check_index(const fs::path& path, const ShardIndex& index) const {
    for (const TensorView& view : tensors) {
      const std::string file = files[static_cast<size_t>(view.file_idx)].filename().string();
      const auto place = index.file_of_name.find(std::string(view.name));
      if (place == index.file_of_name.end())
        throw Error("{}: tensor {} of {} is not in the index.", path.string(), quote_name(view.name), file);
      if (place->second != file)
        throw Error("{}: tensor {} should be in {}, but it is in {}.", path.string(), quote_name(view.name),
                    place->second, file);
    }
    for (const auto& [name, file] : index.file_of_name) {
      if (!by_name.contains(name))
        throw Error("{}: tensor {} should be in {}, but it is not there.", path.string(), quote_name(name),
                    file);
    }
  }
};

Checkpoint Checkpoint::open(const fs::path& model_dir) {
  auto impl = std::make_unique<Impl>();
  const fs::path single = model_dir / kSingleName;
  const fs::path index_path = model_dir / kIndexName;
  std::error_code code;  // a folder that cannot be read has neither
  const bool sharded = fs::exists(index_path, code);
  const bool whole = fs::exists(single, code);
  if (sharded && whole)
    throw Error("{}: holds both {} and {}: keep one of them.", model_dir.string(), kSingleName, kIndexName);
  if (sharded) {
    const ShardIndex index = read_index(index_path);
    check_shards_exist(model_dir, index);
    for (const std::string& file : index.files) impl->add_file(model_dir / file);
    impl->check_index(index_path, index);
  } else if (whole) {
    impl->add_file(single);
  } else {
    throw Error("{}: expected {} or {}, found neither.", model_dir.string(), kSingleName, kIndexName);
  }
  return Checkpoint(std::move(impl));
}

Checkpoint::Checkpoint(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Checkpoint::~Checkpoint() = default;
Checkpoint::Checkpoint(Checkpoint&&) noexcept = default;
Checkpoint& Checkpoint::operator=(Checkpoint&&) noexcept = default;

const TensorView* Checkpoint::find(std::string_view name) const {
  const auto place = impl_->by_name.find(name);
  return place == impl_->by_name.end() ? nullptr : &impl_->tensors[place->second];
}
const std::vector<TensorView>& Checkpoint::tensors() const {
  return impl_->tensors;
}
const std::vector<fs::path>& Checkpoint::files() const {
  return impl_->files;
}
uint64_t Checkpoint::total_bytes() const {
  return impl_->total_bytes;
}

}  // namespace minimax::model
