-- Adds to the counters of methods. ARGV: Respite, bus, then for each method its name, its last error or '',
-- how many counters, and those by name and number.
local at = 2
local function word()
  at = at + 1
  return ARGV[at]
end
while at < #ARGV do
  local method, last, count = word(), word(), tonumber(word())
  local h = P .. 'h:' .. method
  local known = call('HEXISTS', P .. 'm', method) == 1
  for _ = 1, count do
    local name, number = word(), word()
    if known then call('HINCRBY', h, name, number) end
  end
  if known then
    if last ~= '' then call('HSET', h, 'last', last) end
    lease(h, 86400000)
  end
end
return 0
