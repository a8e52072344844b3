# Run by every build (cmake -P), so that the commit that the program names is the one that it was built from:
#   -D source=… -D output=… -D version=… -D compiler=… -D flags=… -D build_type=… -D yaml_cpp=…
# The output is touched only when it changes. Without git, or where `source` is not the top of a clone of its own (a
# tarball, perhaps unpacked inside some other clone), the revision is "unknown".
set(revision unknown)
set(modified false)
find_program(git git)
if(git)
  set(in_source ${git} -C ${source} --no-optional-locks)
  execute_process(COMMAND ${in_source} rev-parse --show-toplevel
    OUTPUT_VARIABLE top OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE no_clone)
  file(REAL_PATH ${source} real_source)
  if(NOT no_clone AND "${top}" STREQUAL "${real_source}")
    execute_process(COMMAND ${in_source} rev-parse --verify HEAD
      OUTPUT_VARIABLE head OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE no_commit)
    execute_process(COMMAND ${in_source} status --porcelain --untracked-files=no
      OUTPUT_VARIABLE changes ERROR_QUIET)
    if(NOT no_commit)
      set(revision ${head})
      if(NOT "${changes}" STREQUAL "")
        set(modified true)
      endif()
    endif()
  endif()
endif()
configure_file(${CMAKE_CURRENT_LIST_DIR}/build_info.cpp.in ${output} @ONLY)
