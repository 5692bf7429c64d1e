# Joins the cdef regions of the public headers into lua/mien/cdef.lua, the numbered migrations of core/store/schema into
# schema.c, and what libmien.so and libmien_cuda.so must have in common into a number, plugin_abi.h.
# Not here: reading any of them (lua/mien/base/ffi.lua, core/store, core/backend/discovery.c).
# The order of the headers is the order of their types.
set(headers base/status base/clock base/isa base/profile base/threads tensor/tensor tensor/rng optim/optim ops/ops
  backend/backend backend/discovery autograd/autograd run/run run/capture store/store data/bytes data/hdf5 data/loader data/image data/video
  data/face data/stream affect/affect host/host abi/abi)

function(write_if_changed path text)
  if(EXISTS "${path}")
    file(READ "${path}" old)
  endif()
  if(NOT "${old}" STREQUAL "${text}")
    file(WRITE "${path}" "${text}")
  endif()
  file(TOUCH "${path}")
endfunction()

set(module "-- The public headers, joined by cmake/generate.cmake: `return` value of require \"mien.cdef\".\nreturn [==[\n")
foreach(header ${headers})
  file(READ "${SOURCE}/core/${header}.h" text)
  string(FIND "${text}" "/* cdef:begin */" begin)
  string(FIND "${text}" "/* cdef:end */" end)
  if(begin LESS 0 OR end LESS begin)
    message(FATAL_ERROR "core/${header}.h has no cdef region")
  endif()
  math(EXPR begin "${begin} + 16")
  math(EXPR length "${end} - ${begin}")
  string(SUBSTRING "${text}" ${begin} ${length} region)
  string(APPEND module "/* header: ${header}.h */${region}")
endforeach()
string(APPEND module "]==]\n")
write_if_changed("${BINARY}/lua/mien/cdef.lua" "${module}")

file(GLOB files "${SOURCE}/core/store/schema/*.sql")
list(SORT files)
set(source "/* The migrations of core/store/schema, joined by cmake/generate.cmake. */\nconst char *const mien__schema[] = {\n")
foreach(file ${files})
  file(READ "${file}" text)
  string(REPLACE "\\" "\\\\" text "${text}")
  string(REPLACE "\"" "\\\"" text "${text}")
  string(REPLACE "\n" "\\n\"\n    \"" text "${text}")
  string(APPEND source "    \"${text}\",\n")
endforeach()
string(APPEND source "    0};\n")
write_if_changed("${BINARY}/schema.c" "${source}")

# Every text that decides what a table, struct or op means on both sides.
set(texts "")
foreach(file base/status.h tensor/tensor.h tensor/device.h optim/optim.h optim/updates.h ops/ops.def ops/ops.h backend/backend.h
    backend/record.h backend/discovery.h)
  file(READ "${SOURCE}/core/${file}" text)
  string(APPEND texts "${file}\n${text}")
endforeach()
string(SHA256 hash "${texts}")
string(SUBSTRING "${hash}" 0 8 hash)
write_if_changed("${BINARY}/plugin_abi.h" "/* Made by cmake/generate.cmake. */\n#define MIEN_PLUGIN_ABI 0x${hash}u\n")
