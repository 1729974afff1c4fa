-- Notes that a Respite is there; a gap between two such notes is an outage.
--
-- KEYS[1] hash: last (when one was there), beats, outages ("from:to ...", the latest last)
-- ARGV[1] the count of beats that this Respite has seen; more than are here: writes were lost
-- Replies now beats end outages.
if redis.replicate_commands then redis.replicate_commands() end

local ABSENT = 2000
local KEPT = 16
local LONGEST = 32     -- more than an outage is written with

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function text(number) return string.format('%.0f', number) end

local seen = redis.call('HMGET', KEYS[1], 'last', 'beats', 'outages')
local last, beats = tonumber(seen[1]), tonumber(seen[2]) or 0
local outages, ended = {}, 0
-- Others may have written it: as much is read as can be there.
for outage in string.gmatch(string.sub(seen[3] or '', -KEPT * LONGEST), '%d+:%d+') do outages[#outages + 1] = outage end
while #outages > KEPT do table.remove(outages, 1) end
if last and (now - last > ABSENT or beats < tonumber(ARGV[1])) then
  outages[#outages + 1] = text(last) .. ':' .. text(now)
  while #outages > KEPT do table.remove(outages, 1) end
end
if #outages > 0 then ended = tonumber(string.match(outages[#outages], ':(%d+)$')) end
beats = math.max(beats, tonumber(ARGV[1])) + 1
local list = table.concat(outages, ' ')
redis.call('HSET', KEYS[1], 'last', text(now), 'beats', text(beats), 'outages', list)
return {text(now), text(beats), text(ended), list}
