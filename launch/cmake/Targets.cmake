# Compile options of all of Lockstep's own targets.
#
# -ffp-contract=off: a fused multiply-add rounds once instead of twice, so letting the compiler choose would make bits
# depend on it. -fno-math-errno and -fno-trapping-math change no results and let loops be vectorised.
add_library(lockstep_options INTERFACE)
target_compile_options(lockstep_options INTERFACE
  -Wall -Wextra -Wpedantic -ffp-contract=off -fno-math-errno -fno-trapping-math
  $<$<BOOL:${LOCKSTEP_WERROR}>:-Werror>)
if(LOCKSTEP_SANITIZE)
  target_compile_options(lockstep_options INTERFACE
    -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_link_options(lockstep_options INTERFACE -fsanitize=address,undefined)
endif()

# Most sources take less time to compile than these headers to be read, so they are read once for all libraries. Sources include what they
# use all the same: launch/lint.sh looks at them without precompiled headers.
set(lockstep_precompiled
  <algorithm> <array> <chrono> <cstdint> <exception> <filesystem> <functional> <map> <memory> <optional> <span> <string>
  <string_view> <utility> <variant> <vector> <fmt/format.h>)

# lockstep_precompile_headers(TARGET OWNER): TARGET reads those that were compiled for OWNER, which may be itself. Both need the same
# compiler options: GCC warns where another one is in the way.
function(lockstep_precompile_headers target owner)
  if(target STREQUAL owner)
    target_precompile_headers(${target} PRIVATE ${lockstep_precompiled})
  else()
    target_precompile_headers(${target} REUSE_FROM ${owner})
  endif()
endfunction()

# lockstep_optimise_less(TARGET): what runs for milliseconds in all waits for the compiler longer than that makes it faster. With an option
# of their own such targets need precompiled headers of their own, too: those of the first of them.
function(lockstep_optimise_less target)
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>)
  lockstep_precompile_headers(${target} lockstep_config_seldom_run)
endfunction()

# lockstep_add_library(NAME [SOURCES …] [SELDOM_RUN …] DEPENDS … [PRIVATE_DEPENDS …]): the static library lockstep_NAME of one folder of
# src/, of sources that steps run and of those that they do not.
function(lockstep_add_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;SELDOM_RUN;DEPENDS;PRIVATE_DEPENDS")
  add_library(lockstep_${name} STATIC ${arg_SOURCES})
  set_target_properties(lockstep_${name} PROPERTIES LINKER_LANGUAGE CXX)
  target_include_directories(lockstep_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(lockstep_${name} PUBLIC ${arg_DEPENDS} PRIVATE lockstep_options ${arg_PRIVATE_DEPENDS})
  if(arg_SOURCES)
    lockstep_precompile_headers(lockstep_${name} lockstep_base)
  endif()
  if(arg_SELDOM_RUN)
    add_library(lockstep_${name}_seldom_run OBJECT ${arg_SELDOM_RUN})
    target_include_directories(lockstep_${name}_seldom_run PRIVATE ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(lockstep_${name}_seldom_run PRIVATE lockstep_options ${arg_DEPENDS} ${arg_PRIVATE_DEPENDS})
    lockstep_optimise_less(lockstep_${name}_seldom_run)
    target_sources(lockstep_${name} PRIVATE $<TARGET_OBJECTS:lockstep_${name}_seldom_run>)
  endif()
endfunction()

# Tests wait for the compiler longer than it makes them faster: what they test is optimised as ever, they are less.
add_library(lockstep_test_options INTERFACE)
target_compile_options(lockstep_test_options INTERFACE
  $<$<CONFIG:Release>:-O1> $<$<AND:$<CONFIG:RelWithDebInfo>,$<BOOL:${LOCKSTEP_SANITIZE}>>:-Og>)

# Compiling most tests takes less time than reading GoogleTest's headers, so they share the precompiled ones of lockstep_test_support. They
# need its options for that: GCC warns where another one is in the way.
function(lockstep_precompile_test_headers target)
  target_precompile_headers(${target} REUSE_FROM lockstep_test_support)
endfunction()

# What the sanitizer build needs: every binary that has tests with the label `unit`.
add_custom_target(lockstep_unit_tests)

# lockstep_add_test(NAME SOURCES … DEPENDS … [LABELS …] [TIMEOUT seconds]): one GoogleTest binary, one ctest entry for
# each of its test cases, labelled `unit` unless LABELS says otherwise.
function(lockstep_add_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "SOURCES;DEPENDS;LABELS")
  if(NOT arg_LABELS)
    set(arg_LABELS unit)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE
    lockstep_options lockstep_test_options ${arg_DEPENDS} lockstep_test_support GTest::gtest_main GTest::gmock)
  lockstep_precompile_test_headers(${name})
  if("unit" IN_LIST arg_LABELS)
    add_dependencies(lockstep_unit_tests ${name})
  endif()
  gtest_discover_tests(${name} NO_PRETTY_VALUES PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT} DISCOVERY_TIMEOUT 60)
endfunction()

# lockstep_add_mpi_test(NAME SOURCES … DEPENDS … [RANKS n…] [TIMEOUT seconds]): one GoogleTest binary run whole under
# mpirun at each number of ranks (1 2 3 4 8 unless RANKS says otherwise), as ctest entries NAME.ranksN with label `mpi`.
# tests/support/mpi_main.cpp is its main: it starts MPI, and fails the job when any rank fails or none ran a test.
function(lockstep_add_mpi_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "SOURCES;DEPENDS;RANKS")
  if(NOT arg_RANKS)
    set(arg_RANKS 1 2 3 4 8)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  add_executable(${name} ${arg_SOURCES} ${PROJECT_SOURCE_DIR}/tests/support/mpi_main.cpp)
  target_link_libraries(${name} PRIVATE
    lockstep_options lockstep_test_options ${arg_DEPENDS} lockstep_comm lockstep_test_support GTest::gtest GTest::gmock)
  lockstep_precompile_test_headers(${name})
  foreach(ranks IN LISTS arg_RANKS)
    add_test(NAME ${name}.ranks${ranks}
      COMMAND ${MPIEXEC_EXECUTABLE} --oversubscribe -n ${ranks} $<TARGET_FILE:${name}> --expect-ranks=${ranks})
    set_tests_properties(${name}.ranks${ranks} PROPERTIES
      LABELS mpi TIMEOUT ${arg_TIMEOUT} PROCESSORS ${ranks}
      ENVIRONMENT "OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1;OMP_NUM_THREADS=1;OMPI_MCA_mpi_yield_when_idle=1")
  endforeach()
endfunction()
