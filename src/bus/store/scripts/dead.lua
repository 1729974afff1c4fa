-- ARGV: Respite, bus, method, how many at most. Gives: the dead calls, the newest first, as many as have room in one reply.
local found, volume = {}, 0
for _, id in ipairs(call('ZREVRANGE', P .. 'd:' .. ARGV[3], 0, tonumber(ARGV[4]) - 1)) do
  local k = P .. 'k:' .. match(id, '^[^.]+')
  local size = 2 * #id
  for _, field in ipairs({ 'a', 'fc', 'fm', 'n' }) do size = size + call('HSTRLEN', k, field) end
  -- What is larger than a call can be is none.
  if size < MOST_BODY + LONGEST_OPTIONS then
    volume = volume + size
    if volume > MOST_VOLUME and #found > 0 then break end
    local v = call('HMGET', k, 'a', 'fc', 'fm', 'n')
    if v[1] and v[4] then
      found[#found + 1] = { id, v[1], v[2], v[3], tonumber(v[4]) }
    end
  end
end
return found
