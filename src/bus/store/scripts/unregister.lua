-- ARGV: Respite, bus, method, how many calls to end at most, 1 if the method is to go (0: what it left). Gives: 1 or 0, whether there is more to do, calls
-- that somebody here waits for, failures, whom the registry is leased to if it has changed. What is queued or in flight ends with NOMETHOD.
local method, most, first = ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1'
local leased = (first and (is_fresh() or call('HEXISTS', P .. 'm', method) == 1)) and holders() or {}
local was = first and call('HDEL', P .. 'm', method) or 0
if was == 1 then
  call('HDEL', P .. 'g', method)
  call('HSET', P .. 'g', '', string.format('%.0f', now_us))
  if call('HLEN', P .. 'm') == 0 then call('DEL', P .. 'g') end
elseif call('HEXISTS', P .. 'm', method) == 1 then
  -- Somebody has registered it again.
  return { 0, 0, {}, {}, leased }
end
local q = P .. 'q:' .. method
local entries = call('XRANGE', q, '-', '+', 'COUNT', most)
for _, entry in ipairs(entries) do
  local c = load(match(entry[2][2], '^%d+ (%S+)') .. '.' .. entry[1] .. '.' .. method)
  if c and (c.s == 'q' or c.s == 'f') then
    finish(c, c.s == 'f' and 'c' or 'e', 'NOMETHOD the method was unregistered')
  else
    call('XDEL', q, entry[1])
  end
end
for _, id in ipairs(call('SMEMBERS', P .. 'v:' .. method)) do
  local c = load(id)
  if c and (c.s == 'q' or c.s == 'f') then
    finish(c, c.s == 'f' and 'c' or 'e', 'NOMETHOD the method was unregistered')
  end
end
local dead = call('ZRANGE', P .. 'd:' .. method, 0, most - 1)
for _, id in ipairs(dead) do
  local c = load(id)
  if c then forget(c) end
  call('ZREM', P .. 'd:' .. method, id)
end
local more = (#entries >= most or #dead >= most) and 1 or 0
if more == 0 then
  for _, id in ipairs(call('HKEYS', P .. 'o')) do
    -- Direct calls have no entry in the stream.
    if match(id, '^[^.]+%.0%-1%.(.+)$') == method then
      local c = load(id)
      if c and c.s == 'f' then finish(c, 'c', 'NOMETHOD the method was unregistered') end
    end
  end
  for _, kind in ipairs({ 'q', 'c', 'e', 'f', 'd', 'h', 'y', 'v' }) do
    call('UNLINK', P .. kind .. ':' .. method)
  end
  call('SREM', P .. 's', method)
  call('SREM', P .. 'y', method)
end
close()
return { was, more, ended, failed, leased }
