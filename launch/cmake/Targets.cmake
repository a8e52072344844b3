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

# lockstep_add_library(NAME SOURCES … DEPENDS … [PRIVATE_DEPENDS …]): the static library lockstep_NAME of one folder of src/.
function(lockstep_add_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPENDS;PRIVATE_DEPENDS")
  add_library(lockstep_${name} STATIC ${arg_SOURCES})
  target_include_directories(lockstep_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(lockstep_${name} PUBLIC ${arg_DEPENDS} PRIVATE lockstep_options ${arg_PRIVATE_DEPENDS})
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
