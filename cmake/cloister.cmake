# SPDX-License-Identifier: Apache-2.0
# How every folder is built: one static library a folder, its unit tests beside the code.
include(GoogleTest)
find_package(GTest REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)

option(CLOISTER_FUZZ "Build the libFuzzer targets (clang only)" OFF)

add_library(cloister_flags INTERFACE)
target_include_directories(cloister_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(cloister_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror
  -fno-strict-aliasing
  $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety -Wno-gnu-statement-expression>)
target_link_libraries(cloister_flags INTERFACE Threads::Threads fmt::fmt)

# A test is compiled once and run once, and half of its compiling is GoogleTest's headers: they are compiled
# before all tests, and tests are not optimised: what they call is. A failure names its line itself.
set(CLOISTER_TEST_OPTIONS -O0 -g0)
file(CONFIGURE OUTPUT gtest_headers.cpp CONTENT "")
add_library(cloister_gtest_headers OBJECT ${CMAKE_CURRENT_BINARY_DIR}/gtest_headers.cpp)
target_link_libraries(cloister_gtest_headers PRIVATE cloister_flags GTest::gtest_main GTest::gmock)
target_compile_options(cloister_gtest_headers PRIVATE ${CLOISTER_TEST_OPTIONS})
target_precompile_headers(cloister_gtest_headers PRIVATE <gmock/gmock.h> <gtest/gtest.h>)

# Most of what compiling a small file costs is the standard library's headers, so they are compiled before all else.
# A file includes what it uses nevertheless: the asan and tsan builds do without these.
file(CONFIGURE OUTPUT standard_headers.cpp CONTENT "")
add_library(cloister_standard_headers OBJECT ${CMAKE_CURRENT_BINARY_DIR}/standard_headers.cpp)
target_link_libraries(cloister_standard_headers PRIVATE cloister_flags)
target_precompile_headers(cloister_standard_headers PRIVATE
  <algorithm> <array> <atomic> <bit> <charconv> <chrono> <cstddef> <cstring> <deque> <filesystem> <functional> <map>
  <memory> <numeric> <optional> <set> <span> <string> <string_view> <system_error> <unordered_map> <utility> <variant>
  <vector> <fmt/format.h>)

# Several files of a folder are compiled at a time, which halves what is left of the cost of headers; so names within
# a folder differ, those of anonymous namespaces too. The asan and tsan builds compile file by file.
option(CLOISTER_UNITY "Compile several files of a folder at a time" ON)

# cloister_library(hart SOURCES a.cpp b.cpp DEPS memory isa LIBS PkgConfig::X)
# makes cloister_hart from this folder. DEPS are other folders of src/, LIBS are outside libraries. COLD: nothing in it runs
# often, and it is optimized a little only, which takes two thirds of the time.
function(cloister_library name)
  cmake_parse_arguments(ARG "COLD" "" "SOURCES;DEPS;LIBS" ${ARGN})
  add_library(cloister_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(cloister_${name} PUBLIC cloister_flags ${ARG_LIBS})
  target_compile_options(cloister_${name} PRIVATE
    $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage> $<$<BOOL:${ARG_COLD}>:-O1>)
  target_precompile_headers(cloister_${name} REUSE_FROM cloister_standard_headers)
  set_target_properties(cloister_${name} PROPERTIES UNITY_BUILD ${CLOISTER_UNITY} UNITY_BUILD_BATCH_SIZE 16)
  foreach(dep ${ARG_DEPS})
    target_link_libraries(cloister_${name} PUBLIC cloister_${dep})
  endforeach()
endfunction()

# cloister_program(cloisterd SOURCES main.cpp DEPS api LIBS X) makes the program of this name. What reads flags runs once:
# it is optimized a little only, for CLI11 is large.
function(cloister_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE cloister_flags ${ARG_LIBS})
  target_compile_options(${name} PRIVATE -O1)
  set_target_properties(${name} PROPERTIES UNITY_BUILD ${CLOISTER_UNITY} UNITY_BUILD_BATCH_SIZE 0)
  foreach(dep ${ARG_DEPS})
    target_link_libraries(${name} PRIVATE cloister_${dep})
  endforeach()
endfunction()

# cloister_test(hart SOURCES mmu_test.cpp …) makes the gtest program hart_test; each of its tests is a CTest test.
# APART: files that have names in common with others, and are compiled alone.
function(cloister_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;APART;DEPS;LIBS" ${ARGN})
  add_executable(${name}_test ${ARG_SOURCES} ${ARG_APART})
  target_link_libraries(${name}_test PRIVATE cloister_flags GTest::gtest_main GTest::gmock ${ARG_LIBS})
  target_compile_options(${name}_test PRIVATE ${CLOISTER_TEST_OPTIONS})
  target_precompile_headers(${name}_test REUSE_FROM cloister_gtest_headers)
  set_target_properties(${name}_test PROPERTIES UNITY_BUILD ${CLOISTER_UNITY} UNITY_BUILD_BATCH_SIZE 10)
  set_source_files_properties(${ARG_APART} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  foreach(dep ${ARG_DEPS})
    target_link_libraries(${name}_test PRIVATE cloister_${dep})
  endforeach()
  gtest_discover_tests(${name}_test TEST_PREFIX ${name}. DISCOVERY_TIMEOUT 120)
endfunction()

# cloister_fuzzer(decode SOURCES decode_fuzz.cpp DEPS isa) makes the libFuzzer program fuzz_decode.
function(cloister_fuzzer name)
  if(NOT CLOISTER_FUZZ)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LIBS" ${ARGN})
  add_executable(fuzz_${name} ${ARG_SOURCES})
  target_link_libraries(fuzz_${name} PRIVATE cloister_flags ${ARG_LIBS})
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  foreach(dep ${ARG_DEPS})
    target_link_libraries(fuzz_${name} PRIVATE cloister_${dep})
  endforeach()
endfunction()
