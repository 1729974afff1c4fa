-- What a Respite of a shared fleet says and hears at every beat: it is there; this is what it polled; who else is there;
-- what have they polled. All of it is one moment of this server.
--
-- KEYS[1] state    hash: view, rev, born, last
-- KEYS[2] leases   sorted set: member -> when its lease ends
-- KEYS[3] members  hash: member -> "acked|digest|declined,..."
-- KEYS[4] sets     hash: digest -> the shards that a member can poll
-- KEYS[5] info     hash: shard -> record; shard:b -> the record that it is compressed against
-- KEYS[6] when     sorted set: shard -> the number of its record
-- (a cluster adds a key that is never there)
--
-- ARGV[1] member   ARGV[2] lease, microseconds   ARGV[3] the view it has taken over   ARGV[4] digest   ARGV[5] declined
-- ARGV[6] the set of that digest, or ''   ARGV[7] the rev that it knows   ARGV[8] the number of the last record it has
-- ARGV[9] the most records and ARGV[10] bytes to return   ARGV[11] the longest record
-- ARGV[12] how long records are kept, microseconds   ARGV[13] '1': it leaves
-- ARGV[14...] shards and records in turn, each with '1' if it is one that later ones are compressed against
--
-- Numbers grow and are times where they can be, so that they grow across servers that have lost some. All times are
-- microseconds of this server's clock; a double has them exactly until the year 2255.

if redis.replicate_commands then redis.replicate_commands() end

local S, L, M, K, I, W = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local me, lease, digest = ARGV[1], tonumber(ARGV[2]), ARGV[4]

local MOST_MEMBERS = 1000   -- view.rs
local LONGEST_NAME = 128    -- view.rs
local MOST_ROW = 1700096    -- view.rs: LONGEST_ROW
local MOST_ROWS = 33554432  -- view.rs
local MOST_SETS = 2000      -- more than members: one that is on its way besides the one before
local SWEEP = 100           -- leases and records removed by one call
local RETURN = 3000000      -- after an outage members come back one by one: until a lease after that nobody takes over from another
local AHEAD = 10000000      -- a number so far ahead was written by another clock, or by somebody else

local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000000 + tonumber(t[2])
local function text(n) return string.format('%.0f', n) end
local function number(name)
  local n = tonumber(redis.call('HGET', S, name) or '') or 0
  if n >= 0 and n < now + AHEAD then return n end
  return 0
end
local function advance(name)
  local n = math.max(number(name) + 1, now)
  redis.call('HSET', S, name, text(n))
  return n
end

-- What fails because a key is of another type fails here, before anything is written.
for _, look in ipairs({{'HLEN', S}, {'ZCARD', L}, {'HLEN', M}, {'HLEN', K}, {'HLEN', I}, {'ZCARD', W}}) do
  redis.call(look[1], look[2])
end
-- A server that is out of memory refuses a script's first write if it may need memory, but none after the first. This one
-- needs none and changes nothing: no Respite has this name. So a beat is heard then too, and never a part of it.
redis.call('ZREM', L, '')

-- Who is there.
local changed = false
local function remove(member)
  redis.call('ZREM', L, member)
  redis.call('HDEL', M, member)
  changed = true
end
for _, member in ipairs(redis.call('ZRANGEBYSCORE', L, '-inf', text(now), 'LIMIT', 0, SWEEP)) do remove(member) end
for _, member in ipairs(redis.call('ZRANGEBYSCORE', L, '(' .. text(now + 2 * lease), '+inf', 'LIMIT', 0, SWEEP)) do
  redis.call('ZADD', L, text(now + lease), member)
end
local joined = not redis.call('ZSCORE', L, me)
local leaves = ARGV[13] == '1'
if leaves and not joined then remove(me) end
local want, acks = 0, false
if not leaves then
  if joined then
    local there = redis.call('ZCARD', L)
    if there >= MOST_MEMBERS then
      if changed then
        advance('view')
        advance('rev')
      end
      return {err = 'ERR fleet.share: ' .. there .. ' Respites share this fleet already'}
    end
    if there == 0 then redis.call('HSET', S, 'born', text(ARGV[3] == '0' and now or now + RETURN)) end
    changed = true
  end
  redis.call('ZADD', L, text(now + lease), me)
  local what = digest .. '|' .. ARGV[5]
  local row = redis.call('HGET', M, me) or ''
  local acked, before = string.match(row, '^(%d*)|(.*)$')
  if before ~= what then changed = true end
  if acked ~= ARGV[3] then acks = true end
  redis.call('HSET', M, me, ARGV[3] .. '|' .. what)
  if ARGV[6] ~= '' then
    redis.call('HSET', K, digest, ARGV[6])
  elseif redis.call('HEXISTS', K, digest) == 0 then
    want = 1
  end
end
if changed then
  advance('view')
  -- Sets that nobody names any more go.
  if redis.call('HLEN', K) > MOST_SETS or redis.call('HLEN', M) > MOST_SETS then
    redis.call('DEL', K)
  elseif redis.call('HLEN', K) > 1 then
    local named = {}
    for _, row in ipairs(redis.call('HVALS', M)) do named[string.match(row, '^%d*|(%x*)|') or ''] = true end
    for _, set in ipairs(redis.call('HKEYS', K)) do
      if not named[set] then redis.call('HDEL', K, set) end
    end
  end
end
if changed or acks then advance('rev') end
local rev = number('rev')
local rows = {}
if not leaves and ARGV[7] ~= text(rev) then
  local members, total = redis.call('ZRANGE', L, 0, MOST_MEMBERS - 1), 0
  table.sort(members)  -- all are told the same
  for _, member in ipairs(members) do
    if #member <= LONGEST_NAME and redis.call('HSTRLEN', M, member) <= MOST_ROW then
      local row = redis.call('HGET', M, member) or ''
      total = total + #row
      if total > MOST_ROWS then row = string.match(row, '^%d*|%x*|') or '' end
      rows[#rows + 1] = member
      rows[#rows + 1] = row
    end
  end
end

-- What others have polled; then what this one has, so that it does not get that back.
local records, size, more, last = {}, 0, 0, number('last')
local upto = last
if not leaves then
  local most = tonumber(ARGV[9])
  local ids = redis.call('ZRANGEBYSCORE', W, '(' .. ARGV[8], text(now + AHEAD), 'WITHSCORES', 'LIMIT', 0, most + 1)
  for i = 1, #ids, 2 do
    local len = redis.call('HSTRLEN', I, ids[i])
    if i > 2 * most or (size + len > tonumber(ARGV[10]) and size > 0) then
      more = 1
      break
    end
    upto = tonumber(ids[i + 1])
    if len > 0 and len <= tonumber(ARGV[11]) and #ids[i] == 16 then
      size = size + len
      records[#records + 1] = ids[i]
      records[#records + 1] = redis.call('HGET', I, ids[i])
    end
  end
end
if more == 0 then upto = math.max(upto, last) end
for i = 14, #ARGV, 3 do
  last = math.max(last + 1, now)
  redis.call('ZADD', W, text(last), ARGV[i])
  redis.call('HSET', I, ARGV[i], ARGV[i + 1])
  if ARGV[i + 2] == '1' then redis.call('HSET', I, ARGV[i] .. ':b', ARGV[i + 1]) end
end
if #ARGV > 13 then
  redis.call('HSET', S, 'last', text(last))
  if more == 0 then upto = last end
end

-- What nobody polls any more goes.
local function sweep(from, to)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', W, from, to, 'LIMIT', 0, SWEEP)) do
    redis.call('ZREM', W, id)
    redis.call('HDEL', I, id, id .. ':b')
  end
end
sweep('-inf', text(now - tonumber(ARGV[12])))
sweep('(' .. text(now + AHEAD), '+inf')
local ttl = string.format('%.0f', tonumber(ARGV[12]) / 1000)
for i = 1, 6 do redis.call('PEXPIRE', KEYS[i], ttl) end

return {text(now), text(number('view')), text(rev), text(number('born')), joined and 1 or 0, want, text(upto), more, rows, records}
