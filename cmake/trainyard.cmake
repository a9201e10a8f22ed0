# Settings and functions shared by every folder's CMakeLists.txt.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

include(GNUInstallDirs)
include(CTest)
include(GoogleTest)
find_package(Threads REQUIRED)
find_package(absl REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
if(TRAINYARD_TESTS)
  find_package(GTest REQUIRED)
endif()
if(NOT TRAINYARD_RUNNER_ONLY)
  find_package(Protobuf REQUIRED)
  find_package(gRPC CONFIG REQUIRED)
endif()

# Faster builds where the tools are there.
find_program(TRAINYARD_CCACHE ccache)
if(TRAINYARD_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${TRAINYARD_CCACHE}")
endif()
find_program(TRAINYARD_MOLD mold)
if(TRAINYARD_MOLD AND NOT APPLE)
  add_link_options(-fuse-ld=mold)
endif()

add_compile_options(-Wall -Wextra -Wno-unused-parameter)
if(TRAINYARD_WERROR)
  add_compile_options(-Werror)
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  add_compile_options(-Wthread-safety)
endif()

# trainyard_library(NAME [SRCS ...] [DEPS ...])
# A static library trainyard_NAME with alias trainyard::NAME. Headers are
# included from the repository's root: #include "server/core/types.h".
function(trainyard_library name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  if(ARG_SRCS)
    add_library(trainyard_${name} STATIC ${ARG_SRCS})
    target_include_directories(trainyard_${name} PUBLIC
      "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>")
    target_link_libraries(trainyard_${name} PUBLIC ${ARG_DEPS})
  else()
    add_library(trainyard_${name} INTERFACE)
    target_include_directories(trainyard_${name} INTERFACE
      "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>")
    target_link_libraries(trainyard_${name} INTERFACE ${ARG_DEPS})
  endif()
  add_library(trainyard::${name} ALIAS trainyard_${name})
endfunction()

# trainyard_test(NAME LABEL unit SRCS ... DEPS ...)
# A GoogleTest program; each TEST becomes a ctest entry with the label.
function(trainyard_test name)
  if(NOT TRAINYARD_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "LABEL;TIMEOUT" "SRCS;DEPS" ${ARGN})
  if(NOT ARG_LABEL)
    set(ARG_LABEL unit)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${name} ${ARG_SRCS})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}")
  gtest_discover_tests(${name} TEST_PREFIX "${name}." DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS "${ARG_LABEL}" TIMEOUT "${ARG_TIMEOUT}")
endfunction()

# trainyard_script_test(NAME LABEL e2e COMMAND ...)
# Runs a command with TRAINYARD_BIN set to the programs' folder. Exit status 77
# counts as skipped; the command says what was missing.
function(trainyard_script_test name)
  if(NOT TRAINYARD_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "LABEL;TIMEOUT" "COMMAND" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_test(NAME ${name} COMMAND ${ARG_COMMAND})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABEL}" TIMEOUT "${ARG_TIMEOUT}"
    SKIP_RETURN_CODE 77
    ENVIRONMENT "TRAINYARD_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY};TRAINYARD_SOURCE=${PROJECT_SOURCE_DIR}")
endfunction()
