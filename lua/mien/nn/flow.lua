-- Passes a tensor through several layers and lets go of what lies between.
-- Not here: what backward needs, which the tape keeps by itself.
local flow = {}

--- f3(f2(f1(x))) for chain(x, f1, f2, f3), letting go of every intermediate result as soon as the next
-- one is there, so that inference holds two of them at a time. x itself is left alone.
function flow.chain(x, ...)
  local y = x
  for i = 1, select("#", ...) do
    local z = select(i, ...)(y)
    if y ~= x and y ~= z then y:free() end
    y = z
  end
  return y
end

--- A tensor in f32 for layers and losses that half precision is too coarse for: t itself unless it is bf16 or f16.
-- Gradients go back in t's own dtype.
function flow.exact(t)
  local dtype = t.dtype
  return (dtype == "bf16" or dtype == "f16") and t:to "f32" or t
end

--- Lets go of `done` unless it is one of the tensors in use: release(shortcut, x).
function flow.release(done, ...)
  for i = 1, select("#", ...) do
    if done == select(i, ...) then return end
  end
  done:free()
end

return flow
