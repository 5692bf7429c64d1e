-- SHA-256 of texts, memory and files, as 64 hex digits.
-- Not here: what is told apart by it.
local ffi = require "ffi"
local C = require "mien.base.ffi"
local check = require "mien.base.check"

local sha256 = {}

local digest = ffi.new "char[65]"

--- Of n bytes at an address.
function sha256.bytes(address, n)
  check.status(C.mien_text_sha256(ffi.cast("const char *", address), n, digest))
  return ffi.string(digest)
end

--- Of a text.
function sha256.text(text) return sha256.bytes(text, #text) end

--- Of a file.
function sha256.file(path)
  check.status(C.mien_file_sha256(path, digest))
  return ffi.string(digest)
end

return sha256
