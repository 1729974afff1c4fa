-- What every script of the bus begins with: its keys and its clock.
--
-- KEYS[1] is the registry, `PREFIX .. 'm'`; all other keys of the bus have the same hash tag:
--   m  method -> options             g  method -> stamp; '' -> stamp of the whole registry; a line break -> the secret
--             that messages between Respites are sealed with
--   q:METHOD  the queue: a stream with one group, in which calls stay until they end. Fields of an entry:
--             m what is known of the call, a its arguments and payload
--   o  call -> its delivery          s  methods that may have queued calls
--   y:METHOD  calls to be delivered again: call -> when it was put there, and its deliveries so far (see `again`)
--   y  methods that have such        v:METHOD  calls that were revived and have not ended: the stream has them not
--   t  call -> when it is looked at again; the list of all calls
--   r:NUMBER  the outcome of a call: its state (d done, e failed, c given up in flight, x dead) and the value
--   k:NUMBER  what few calls have: j how many wait, d another deadline, z 1: kept after all; m a of a dead call
--             with n deliveries, fc fm code and message of its last failure; m a also of one that was revived
--   n  call -> more Respites where its outcome is waited for
--   f:METHOD  key -> the call that is under way for it
--   c:METHOD  key -> cached result   e:METHOD  key -> when it expires
--   w  worker -> alive until         p  worker -> patterns                  i  Respite -> wants hints until
--   d:METHOD  dead calls by time     h:METHOD  counters
--   x  Respite -> until when it has to be asked before the registry changes
--   l  Respite -> until when it holds, and per direct call that waits there: a line with their number and the method
--
-- A call is NUMBER.PLACE.METHOD: the number that its Respite gave it, and its place in the stream. What is known
-- of it: queued at (us), number, timeout, visibility, result ttl, cache ttl, idempotent, most deliveries, kept, home (where it
-- is waited for, or -), and behind a space the key that equal calls share. Its delivery: token, number of
-- deliveries, visible until, delivered at (us); lines with the worker and with what is known of the call.
--
-- ARGV[1] is this Respite, ARGV[2] the bus.
if redis.replicate_commands then redis.replicate_commands() end
local call, match, sub = redis.call, string.match, string.sub
local P = sub(KEYS[1], 1, -2)
local ME, BUS = ARGV[1], ARGV[2]
local GRACE = 60000     -- how much longer than needed a key lives, at least
local TAKEN = 60000     -- how long an outcome that only callers want waits for them
local LEASE = 3000      -- how long a lease on the registry lasts
-- What is in the keys others may have written, too. No more is read than a Respite can have put there.
local MOST_METHODS = 1000       -- method/registry.rs
local MOST_BODY = 67108864      -- outcome.rs: of a call or an outcome
local MOST_VOLUME = 33554432    -- bytes of calls and outcomes that are enough for one reply
local LONGEST_NAME = 255        -- of a method or worker
local LONGEST_OPTIONS = 65536   -- of a method: three texts of 16 KiB
local LONGEST_PATTERNS = 32768  -- of a worker: 64 names
local MOST_WORKERS = 10000      -- that one reply tells of
local LONGEST_STAMP = 64
local SECRET = '\n'             -- no method has such a name
local MOST_HOLDERS = 1000       -- Respites on one backing
local MOST_COUNTERS = 4096      -- of a method: buckets of two histograms and a few more
local LONGEST_COUNTER = 4096    -- a number, or the last error
local clock = call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now = math.floor(now_us / 1000)

local leases = {}
-- The key lives at least so much longer.
local function lease(key, ms)
  local has = leases[key] or call('PTTL', key)
  if has == -2 then return end
  if has < ms then
    has = ms + GRACE
    call('PEXPIRE', key, has)
  end
  leases[key] = has
end

local ended = {}   -- calls whose outcome somebody here waits for
local failed = {}  -- method, error line: for the counters
local homes = {}   -- other Respite -> calls whose outcome somebody there waits for
local queued = {}  -- method -> how many were queued
local longest = 0  -- how long that list must live

-- The stamp of a method, or of the whole registry ('').
local function stamp_of(method)
  local stamp = call('HGET', P .. 'g', method)
  return stamp and sub(stamp, 1, LONGEST_STAMP)
end

local volume = 0     -- bytes of calls and outcomes in the reply
-- Takes room for an outcome in the reply, if there is any left.
local function has_room(value)
  if volume >= MOST_VOLUME then return false end
  volume = volume + #value
  return true
end

-- Runs a command on a list that may be longer than a call can have arguments.
local function in_parts(command, key, list)
  local from, count = 1, #list
  while from <= count do
    local to = math.min(from + 999, count)
    call(command, key, unpack(list, from, to))
    from = to + 1
  end
end

-- The last thing that a script does: keys live long enough, others are told.
local function close()
  if longest > 0 then lease(P .. 't', longest) end
  for home, ids in pairs(homes) do
    call('PUBLISH', 'respite:b:' .. home, 'r\n' .. BUS .. '\n' .. table.concat(ids, '\n'))
  end
  if next(queued) then
    local news = nil
    for _, home in ipairs(call('ZRANGEBYSCORE', P .. 'i', '(' .. now, '+inf')) do
      if home ~= ME then
        if not news then
          news = 'q\n' .. BUS
          for method, count in pairs(queued) do news = news .. '\n' .. count .. '\n' .. method end
        end
        call('PUBLISH', 'respite:b:' .. home, news)
      end
    end
  end
end

local function queued_list()
  local list = {}
  for method, count in pairs(queued) do
    list[#list + 1] = method
    list[#list + 1] = count
  end
  return list
end
