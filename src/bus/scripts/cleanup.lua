-- ARGV: Respite, bus, how many calls at most. Gives: keys removed, whether there is more to do, calls that
-- somebody here waits for.
local most = tonumber(ARGV[3])
local ids = call('ZRANGE', P .. 't', 0, most - 1)
local removed = 0
for _, id in ipairs(ids) do
  local c = load(id)
  if c and (c.s == 'q' or c.s == 'f') then tell(c) end
  local number = match(id, '^[^.]+')
  removed = removed + call('UNLINK', P .. 'k:' .. number, P .. 'r:' .. number)
end
local more = #ids >= most and 1 or 0
if more == 1 then
  call('ZREM', P .. 't', unpack(ids))
else
  -- A method that was unregistered left nothing but its calls.
  for _, method in ipairs(call('HKEYS', P .. 'm')) do
    for _, kind in ipairs({ 'q', 'c', 'e', 'f', 'd', 'h', 'y' }) do
      removed = removed + call('UNLINK', P .. kind .. ':' .. method)
    end
  end
  for _, key in ipairs({ 'm', 'g', 't', 's', 'w', 'p', 'i', 'o', 'n', 'y' }) do
    removed = removed + call('UNLINK', P .. key)
  end
end
close()
return { removed, more, ended }
