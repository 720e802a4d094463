# A room is a folder under src/ with one vocabulary: one static library `room_<name>`, linked only to the
# rooms and libraries it may use (docs/architecture.md; tools/tidy.py checks both this file's calls and the
# includes). x_test.cc files of a folder become one GoogleTest program `<name>_test`.

add_library(room_flags INTERFACE)
target_compile_options(room_flags INTERFACE
  -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Werror
  # The same expression must round the same way wherever it is compiled: fused multiply-add only where it is
  # written (std::fma or an intrinsic), never where the compiler sees fit.
  -ffp-contract=off)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # g++ 12 warns of overlapping copies inside std::string::operator+ (GCC bug 105651).
  target_compile_options(room_flags INTERFACE -Wno-restrict)
endif()
target_include_directories(room_flags INTERFACE "${CMAKE_SOURCE_DIR}/src")
if(SANITIZE)
  target_compile_options(room_flags INTERFACE -fsanitize=${SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(room_flags INTERFACE -fsanitize=${SANITIZE})
  if(SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Boost.Asio uses atomic_thread_fence, which g++ does not model under TSan.
    target_compile_options(room_flags INTERFACE -Wno-tsan)
  endif()
endif()

# add_room(NAME [LINKS target...] [TEST_LINKS target...])
function(add_room name)
  cmake_parse_arguments(ROOM "" "" "LINKS;TEST_LINKS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.cc")
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  list(FILTER sources EXCLUDE REGEX "/main\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  string(REPLACE "/" "_" target "${name}")
  if(sources)
    add_library(room_${target} STATIC ${sources})
    target_link_libraries(room_${target} PUBLIC room_flags ${ROOM_LINKS})
  else()
    add_library(room_${target} INTERFACE)
    target_link_libraries(room_${target} INTERFACE room_flags ${ROOM_LINKS})
  endif()
  if(ENABLE_TESTS AND tests)
    add_executable(${target}_test ${tests})
    target_link_libraries(${target}_test PRIVATE room_${target} ${ROOM_TEST_LINKS} GTest::gmock GTest::gtest_main)
    target_compile_definitions(${target}_test PRIVATE MINIMAX_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    add_test(NAME ${target}_test COMMAND ${target}_test WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
  endif()
endfunction()
