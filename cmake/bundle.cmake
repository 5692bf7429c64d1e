# Puts the rest of the bundle beside its programs (see CMakeLists.txt): Lua, the GPU's backend, the libraries that
# they need beside glibc; then packs it. Not here: cuDNN and cuBLASLt, which the other machine has.
set(build ${BUNDLE}/build)
file(GLOB libraries ${build}/lib*.so.*)
file(REMOVE_RECURSE ${BUNDLE}/lua ${BUNDLE}/tests ${build}/lua ${libraries})
file(COPY ${SOURCE}/lua ${SOURCE}/LICENSE DESTINATION ${BUNDLE})
file(COPY ${SOURCE}/tests/bench DESTINATION ${BUNDLE}/tests)
execute_process(COMMAND git -C ${SOURCE} rev-parse --short HEAD OUTPUT_FILE ${build}/commit.txt ERROR_QUIET)
file(COPY ${BINARY}/lua/mien/cdef.lua DESTINATION ${build}/lua/mien)
file(COPY ${CUDA} DESTINATION ${build})

# Modules of Lua in C, from where LuaJIT finds them.
foreach(module lfs cjson)
  execute_process(COMMAND luajit -e "print(assert(package.searchpath('${module}', package.cpath)))"
    OUTPUT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "the bundle needs Lua's module ${module}")
  endif()
  get_filename_component(file ${found} REALPATH)
  file(COPY_FILE ${file} ${build}/lua/${module}.so)
endforeach()

file(GET_RUNTIME_DEPENDENCIES EXECUTABLES ${build}/mien ${build}/test_backends LIBRARIES ${build}/libmien.so
  RESOLVED_DEPENDENCIES_VAR libraries UNRESOLVED_DEPENDENCIES_VAR missing
  PRE_EXCLUDE_REGEXES "^lib(c|m|dl|rt|pthread|gcc_s)[.]so" "^ld-linux" POST_EXCLUDE_REGEXES "^${build}/")
if(missing)
  message(FATAL_ERROR "the bundle lacks ${missing}")
endif()
foreach(library ${libraries}) # as files, for not everything that carries folders carries links
  get_filename_component(name ${library} NAME)
  file(COPY_FILE ${library} ${build}/${name})
endforeach()

get_filename_component(above ${BUNDLE} DIRECTORY)
execute_process(COMMAND ${CMAKE_COMMAND} -E tar czf bundle.tar.gz bundle WORKING_DIRECTORY ${above} RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "the bundle could not be packed")
endif()
