-- ARGV: Respite, bus, how many calls at most. Gives: keys removed, whether there is more to do, calls that
-- somebody here waits for, whom the registry is leased to, when the last of these leases ends.
local most = tonumber(ARGV[3])
-- Those who hold the lease have to let go first: what holds it until then is removed afterwards.
local last = redis.pcall('ZREVRANGE', P .. 'x', 0, 0, 'WITHSCORES')
local in_the_way = last.err and 1 or 0
last = last[2] or '0'
local leased = in_the_way == 0 and holders() or {}
-- Keys that somebody put in the way go as well.
local ids = redis.pcall('ZRANGE', P .. 't', 0, most - 1)
if ids.err then ids = {} end
local removed = 0
local function end_wait(id)
  local c = load(id)
  if c and (c.s == 'q' or c.s == 'f') then tell(c) end
end
for _, id in ipairs(ids) do
  pcall(end_wait, id)
  local number = match(id, '^[^.]+')
  removed = removed + call('UNLINK', P .. 'k:' .. number, P .. 'r:' .. number)
end
local more = #ids >= most and 1 or 0
if more == 1 then
  call('ZREM', P .. 't', unpack(ids))
else
  -- A method that was unregistered left nothing but its calls.
  local methods = {}
  for _, key in ipairs({ 'm', 'g' }) do
    -- The keys of more methods than there can be are left to their expiry.
    local there = redis.pcall('HLEN', P .. key)
    local names = type(there) == 'number' and there <= MOST_METHODS + 2 and call('HKEYS', P .. key) or {}
    for _, method in ipairs(names) do methods[method] = true end
  end
  for method in pairs(methods) do
    for _, kind in ipairs({ 'q', 'c', 'e', 'f', 'd', 'h', 'y', 'v' }) do
      removed = removed + call('UNLINK', P .. kind .. ':' .. method)
    end
  end
  for _, key in ipairs({ 'm', 'g', 't', 's', 'w', 'p', 'i', 'o', 'n', 'y', 'l' }) do
    removed = removed + call('UNLINK', P .. key)
  end
end
if in_the_way == 1 then removed = removed + call('UNLINK', P .. 'x') end
close()
return { removed, more, ended, leased, last }
