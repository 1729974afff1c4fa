-- What a direct call must know. ARGV: Respite, bus. Gives: the stamp of the registry, how many other Respites have
-- fetches that wait.
local call, P, ME = redis.call, string.sub(KEYS[1], 1, -2), ARGV[1]
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local others = call('ZCOUNT', P .. 'i', '(' .. now, '+inf')
if others > 0 then
  local till = call('ZSCORE', P .. 'i', ME)
  if till and tonumber(till) > now then others = others - 1 end
end
return { call('HGET', P .. 'g', ''), others }
