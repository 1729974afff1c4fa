-- What every script on one group begins with: the clock, the leases, the sweep, the index.
--
-- KEYS[1] meta      hash: epoch, rev, floor, graced, born, listed, idle
-- KEYS[2] services  hash: service -> its registration
-- KEYS[3] changed   hash: service -> the revision of its last change
-- KEYS[4] nodes     hash: member -> "lease ttl keep state payload"
-- KEYS[5] names     sorted set of all members, score 0, so that one service's can be found
-- KEYS[6] leases    sorted set: member -> when its lease ends
-- KEYS[7] kept      sorted set: lapsed member -> when it is forgotten
-- KEYS[8] cursors   hash: service -> the member that was resolved last
-- KEYS[9] events    stream: an entry "rev-n" for each change of a service ("*": all of them)
-- KEYS[10]          on a cluster only: a key that is never there. Nobody can wait for streams of many slots there, so
--                   events are published, too
--
-- ARGV[1] when this Respite last proved to be there   ARGV[2] the end of the latest outage, 0 for none
-- ARGV[3] the latest outages, "from:to ..."           ARGV[4] the epoch to take if the group is new
--
-- A member is "service\1node"; names hold no control characters. All times are milliseconds of
-- this server's clock.

-- Redis 6 with lua-replicate-commands off would refuse writes after TIME.
if redis.replicate_commands then redis.replicate_commands() end

local M, S, V, N, I = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local L, K, R, E = KEYS[6], KEYS[7], KEYS[8], KEYS[9]

local ABSENT = 2000        -- an outage, when no Respite was there for longer
local SWEEP = 200          -- lapsed nodes swept by one call
local EVENTS = 1000        -- entries kept in the stream, about
local NAMED = 64           -- services named one by one in one change
local IDLE = 3600000       -- how long an empty group's index is remembered
local JUMP = 1000000       -- revisions skipped after an outage: more than could have been lost
-- What is in the keys others may have written, too. No more is read than a Respite can have put there, and no reply is larger
-- than what one can be asked to keep.
local MOST_SERVICES = 10000       -- names.rs: SERVICES
local MOST_OF_SERVICE = 10000     -- names.rs: SERVICE_NODES
local MOST_NODES = 50000          -- names.rs: GROUP_NODES
local MOST_RECORD = 131072        -- twice TOTAL_BYTES of names.rs: what is written around it is less
local MOST_REPLY = 67108864       -- a full group whose nodes say 1.3 KiB each
local MOST_EPOCH = 64             -- longer than any that is made

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now - tonumber(ARGV[1]) > ABSENT then return {'ABSENT'} end

local function text(number) return string.format('%.0f', number) end

-- The error for a key that holds more than is read; its first words are known to whoever reads it.
local function too_many(key, there, most)
  return {err = 'ERR too large: ' .. key .. ' has ' .. there .. ' entries, more than the ' .. most .. ' that can be there'}
end
local function too_long(key, most)
  return {err = 'ERR too large: what is asked for of ' .. key .. ' has more than ' .. most .. ' bytes'}
end

local function service_of(member) return string.match(member, '^[^\1]*') end

-- The lease, ttl (0: none), keep and state of a record.
local function parse(record)
  local lease, ttl, keep, state = string.match(record, '^(%S+) (%d+) (%d+) (%a+) ')
  return lease, tonumber(ttl), tonumber(keep), state
end

local meta = redis.call('HMGET', M, 'epoch', 'rev', 'floor', 'graced', 'idle')
local known, epoch = meta[1] ~= false, meta[1]
local rev, floor = tonumber(meta[2]) or 0, tonumber(meta[3]) or 0
local idle = meta[5] ~= false
local touched, everything = {}, false

-- Takes a node away for good.
local function forget(member)
  redis.call('HDEL', N, member)
  redis.call('ZREM', I, member)
  redis.call('ZREM', L, member)
  redis.call('ZREM', K, member)
  touched[service_of(member)] = true
end

-- After an outage, gives each lease that was good when it began one TTL from its end.
if known and tonumber(ARGV[2]) > (tonumber(meta[4]) or 0) then
  local graced, outages = tonumber(meta[4]) or 0, {}
  for from, to in string.gmatch(ARGV[3], '(%d+):(%d+)') do
    if tonumber(to) > graced then outages[#outages + 1] = {tonumber(from), tonumber(to)} end
  end
  local leases = redis.call('ZRANGE', L, 0, MOST_NODES - 1, 'WITHSCORES')
  for at = 1, #leases, 2 do
    local member, ends = leases[at], tonumber(leases[at + 1])
    local before, record = ends, redis.call('HGET', N, leases[at])
    if record then
      local _, ttl = parse(record)
      for _, outage in ipairs(outages) do
        if ends > outage[1] then ends = math.max(ends, outage[2] + ttl) end
      end
      if ends > before then redis.call('ZADD', L, text(ends), member) end
    end
  end
  redis.call('HSET', M, 'graced', ARGV[2])
  -- What was written last before the outage may be lost: no revision is given out twice.
  rev = rev + JUMP
  everything = true
end

-- Lapses the nodes whose time has come, a bounded number of them.
local function sweep()
  local lapsed = redis.call('ZRANGEBYSCORE', L, '-inf', text(now), 'WITHSCORES', 'LIMIT', 0, SWEEP)
  for at = 1, #lapsed, 2 do
    local member, record = lapsed[at], redis.call('HGET', N, lapsed[at])
    local _, _, keep = parse(record or '- 0 0 none ')
    local until_ = tonumber(lapsed[at + 1]) + keep
    if record and until_ > now then
      redis.call('ZREM', L, member)
      redis.call('ZADD', K, text(until_), member)
      touched[service_of(member)] = true
    else
      forget(member)
    end
  end
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', K, '-inf', text(now), 'LIMIT', 0, SWEEP)) do
    forget(member)
  end
end

-- What a node is now, swept or not: its record, the time left (-1: no TTL), whether it is live.
-- nil when it is gone.
local function look(member)
  local record = redis.call('HGET', N, member)
  if not record then return nil end
  local _, ttl, keep = parse(record)
  if ttl == 0 then return record, -1, true end
  local ends = redis.call('ZSCORE', L, member)
  if ends then
    local left = tonumber(ends) - now
    if left > 0 then return record, left, true end
    if left + keep > 0 then return record, 0, false end
    return nil
  end
  local until_ = redis.call('ZSCORE', K, member)
  if until_ and tonumber(until_) > now then return record, 0, false end
  return nil
end

local function first_of(service) return '[' .. service .. '\1' end
local function after_last_of(service) return '(' .. service .. '\2' end

local function is_there(service)
  return redis.call('HEXISTS', S, service) == 1
    or redis.call('ZLEXCOUNT', I, first_of(service), after_last_of(service)) > 0
end

local function is_empty()
  return redis.call('HLEN', S) == 0 and redis.call('ZCARD', I) == 0
end

-- The revision of a service's last change.
local function revision_of(service)
  return math.max(tonumber(redis.call('HGET', V, service)) or 0, floor)
end

-- Remembers an empty group for a while only.
local function rest()
  redis.call('PEXPIRE', M, IDLE)
  redis.call('PEXPIRE', E, IDLE)
end

-- Makes what was touched one new revision, and tells those who watch. Comes last.
local function commit()
  if next(touched) == nil and not everything then return end
  if not known then
    redis.call('DEL', V, R, E)
    known, epoch, rev, floor = true, ARGV[4], 0, 0
    redis.call('HSET', M, 'epoch', epoch, 'graced', ARGV[2])
  end
  rev = rev + 1
  local named = {}
  for service in pairs(touched) do
    if is_there(service) then
      redis.call('HSET', V, service, text(rev))
    else
      redis.call('HDEL', V, service)
      redis.call('HDEL', R, service)
      floor = rev
    end
    named[#named + 1] = service
  end
  if everything then floor = rev end
  if everything or #named > NAMED then named = {'*'} end
  for n, service in ipairs(named) do
    redis.call('XADD', E, 'MAXLEN', '~', EVENTS, text(rev) .. '-' .. n, 's', service)
  end
  if KEYS[10] then redis.call('PUBLISH', E, text(rev)) end
  redis.call('HSET', M, 'rev', text(rev), 'floor', text(floor))
  if is_empty() then
    redis.call('HSET', M, 'idle', 1)
    redis.call('HDEL', M, 'listed')
    idle = true
    rest()
  elseif idle or redis.call('HEXISTS', M, 'born') == 0 then
    redis.call('HDEL', M, 'idle')
    redis.call('HSET', M, 'born', text(rev))
    redis.call('PERSIST', M)
    redis.call('PERSIST', E)
    idle = false
  end
end

-- The index as the first two values of a reply; "0" for a group that is not there.
local function index() return string.sub(epoch or '0', 1, MOST_EPOCH), text(rev) end
-- Whether the group still has to be entered into the list of groups.
local function unlisted() return redis.call('HEXISTS', M, 'listed') == 0 and 1 or 0 end

