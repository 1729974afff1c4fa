-- What happens to calls, many at a time: a Respite sends all that has come together as one list of orders.
-- ARGV: Respite, bus, worker ttl, stamp of the registry that it knows, how many due calls to look at,
-- then the orders, each a letter and its words.
-- Gives: an answer per order, calls ended for this Respite, failures, methods with queued calls, workers
-- alive (if a call found none), the time until the next call is due (if asked to look at more than a few).
local TTL, STAMP, LOOK = tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local INTEREST = 10000  -- how long a Respite gets hints after it last asked for them
local at = 5
local function word()
  at = at + 1
  return ARGV[at]
end

local stamps = {}
local function stamp_of(method)
  local stamp = stamps[method]
  if stamp == nil then
    stamp = call('HGET', P .. 'g', method)
    stamps[method] = stamp
  end
  return stamp
end

local living = {}
local function is_alive(worker)
  if worker == '' then return false end
  if living[worker] == nil then
    local till = call('ZSCORE', P .. 'w', worker)
    living[worker] = till and tonumber(till) > now or false
  end
  return living[worker]
end

local function is_home(c)
  return string.find(c.h, ME, 1, true) ~= nil
end

-- One more waits for a call that is under way.
local function join(id, c, kept, timeout)
  local k = P .. 'k:' .. id
  if kept == '1' then call('HSET', k, 'z', '1') end
  call('HINCRBY', k, 'j', 1)
  if kept == '0' and not is_home(c) then call('HSET', k, 'h', c.h .. ',' .. ME) end
  local deadline = now + timeout
  if deadline > tonumber(c.d) then
    call('HSET', k, 'd', deadline)
    call('PEXPIRE', k, timeout + GRACE)
    local due = deadline
    if c.s == 'f' and tonumber(c.u) < due then due = c.u end
    look_again(id, due)
    lease(P .. 'q:' .. c.m, timeout + GRACE)
    lease(P .. 'f:' .. c.m, timeout)
  end
end

-- Keeps an outcome that nobody had to work for.
local function keep_outcome(id, method, value, opts)
  local ttl = tonumber(string.match(opts, '^%d+ (%d+)'))
  call('HSET', P .. 'k:' .. id, 'm', method, 's', 'd', 'o', opts, 'd', 0, 'h', '', 'z', '1', 'v', value)
  call('PEXPIRE', P .. 'k:' .. id, ttl)
  look_again(id, now + ttl)
end

local workers = nil
local orders = {}

-- C: a new call.
function orders.C()
  local id, method, stamp, worker, kept, timeout, opts, most, mode, key =
    word(), word(), word(), word(), word(), tonumber(word()), word(), tonumber(word()), word(), word()
  local args, kwargs, payload = word(), word(), word()
  local current = stamp_of(method)
  if not current then return { 'M' } end
  if current ~= stamp then return { 'G' } end
  if key ~= '' and mode ~= 'r' then
    local till = call('ZSCORE', P .. 'e:' .. method, key)
    local value = till and tonumber(till) > now and call('HGET', P .. 'c:' .. method, key)
    if value then
      if kept == '1' then keep_outcome(id, method, value, opts) end
      return { 'V', value }
    end
    local other = call('HGET', P .. 'f:' .. method, key)
    local c = other and load(other)
    if c and (c.s == 'q' or c.s == 'f') and tonumber(c.d) > now then
      join(other, c, kept, timeout)
      return { 'J', other }
    end
  end
  if kept == '0' and not is_alive(worker) then
    workers = {}
    for _, name in ipairs(call('ZRANGEBYSCORE', P .. 'w', '(' .. now, '+inf')) do
      workers[#workers + 1] = name
      workers[#workers + 1] = call('HGET', P .. 'p', name) or ''
    end
    return { 'W' }
  end
  if call('XLEN', P .. 'q:' .. method) >= most then return { 'B' } end
  local deadline = now + timeout
  local x = enqueue(id, method, deadline)
  local k = P .. 'k:' .. id
  local home = kept == '0' and ME or ''
  if key == '' and kept == '0' then
    call('HSET', k, 'm', method, 's', 'q', 'o', opts, 'd', deadline, 'b', now_us, 'h', home, 'x', x, 'n', 0,
      'a', args, 'w', kwargs, 'p', payload)
  else
    call('HSET', k, 'm', method, 's', 'q', 'o', opts, 'd', deadline, 'b', now_us, 'h', home, 'x', x, 'n', 0,
      'a', args, 'w', kwargs, 'p', payload, 'j', 1)
    if kept == '1' then call('HSET', k, 'z', '1') end
    if key ~= '' then
      call('HSET', k, 'y', key)
      call('HSET', P .. 'f:' .. method, key, id)
      lease(P .. 'f:' .. method, timeout)
    end
  end
  call('PEXPIRE', k, timeout + GRACE)
  look_again(id, deadline)
  return { 'Q' }
end

local function touch(worker, patterns)
  call('ZADD', P .. 'w', now + TTL, worker)
  if patterns ~= '' then call('HSET', P .. 'p', worker, patterns) end
  lease(P .. 'w', TTL)
  lease(P .. 'p', TTL)
  living[worker] = true
end

local known = nil   -- the registry's stamp
local ready = nil   -- methods that may have queued calls, when there are many to choose from
local empty = {}
local interested = false

local function show_interest()
  call('ZADD', P .. 'i', now + INTEREST, ME)
  lease(P .. 'i', INTEREST)
end

local function deliver(found, id, worker, token)
  local k = P .. 'k:' .. id
  local v = call('HMGET', k, 'm', 's', 'o', 'd', 'b', 'n', 'a', 'w', 'p', 'x', 'h', 'z', 'y')
  if not v[1] then return false end
  local deadline = tonumber(v[4])
  if deadline <= now then
    local c = { m = v[1], s = 'f', o = v[3], x = v[10], h = v[11], z = v[12], y = v[13] }
    finish(id, c, 'e', 'DEADLINE the call was not answered in time')
    return true
  end
  local visibility = tonumber(string.match(v[3], '^%d+'))
  local n, till = tonumber(v[6]) + 1, now + visibility
  token = token .. '-' .. #found
  call('HSET', k, 's', 'f', 't', token, 'n', n, 'u', till, 'r', worker, 'l', now_us)
  if till < deadline then look_again(id, till) end
  found[#found + 1] = { id, v[1], deadline - now, n, v[7], v[8], v[9], now_us - tonumber(v[5]), token, visibility }
  return true
end

-- F: a worker wants calls.
function orders.F()
  local worker, patterns, token, count, globs, many =
    word(), word(), word(), tonumber(word()), word(), tonumber(word())
  local first = at + 1
  at = at + many
  if patterns ~= '' then touch(worker, patterns) end
  if globs == '1' then
    known = known or call('HGET', P .. 'g', '') or '0'
    if known ~= STAMP then return { 'G' } end
  end
  if many > 8 and not ready then
    ready = {}
    for _, method in ipairs(call('SMEMBERS', P .. 's')) do ready[method] = true end
  end
  local found = {}
  for i = first, first + many - 1 do
    local method = ARGV[i]
    local q = P .. 'q:' .. method
    if not empty[method] and (many <= 8 or ready[method]) then
      while #found < count do
        local read = call('XLEN', q) > 0
          and call('XREADGROUP', 'GROUP', 'g', 'r', 'COUNT', count - #found, 'STREAMS', q, '>')
        if not read then
          empty[method] = true
          call('SREM', P .. 's', method)
          break
        end
        for _, entry in ipairs(read[1][2]) do
          if not deliver(found, entry[2][2], worker, token) then
            call('XACK', q, 'g', entry[1])
            call('XDEL', q, entry[1])
          end
        end
      end
    end
    if #found >= count then break end
  end
  if #found == 0 then
    if not interested then
      interested = true
      show_interest()
    end
    return { 'N' }
  end
  return { 'D', found }
end

-- R: a worker's outcome. Kind d: done, e: failed, r: failed, to be tried again.
function orders.R()
  local id, token, kind, value, code = word(), word(), word(), word(), word()
  local c = load(id)
  if not c or c.s ~= 'f' or c.t ~= token then return { 0 } end
  local worked = now_us - tonumber(c.l)
  if kind == 'd' then
    finish(id, c, 'd', value)
  else
    local _, _, _, idempotent = options(c)
    if kind == 'r' and idempotent then
      retry(id, c, code, value)
    else
      finish(id, c, 'e', 'BUSFAIL ' .. code .. ' ' .. value)
    end
  end
  return { 1, worked, c.m }
end

-- T: what is the outcome? With 'take' those who waited have it then; with 'wait' this Respite wants to be told.
function orders.T()
  local id, how = word(), word()
  local c = load(id)
  if not c then return { 'n' } end
  if c.s == 'q' or c.s == 'f' then
    if how == 'wait' and not is_home(c) then
      call('HSET', P .. 'k:' .. id, 'h', c.h == '' and ME or c.h .. ',' .. ME)
    end
    return { 'p' }
  end
  local value = call('HGET', P .. 'k:' .. id, 'v')
  if how == 'take' then release(id, c, 1) end
  return { c.s == 'd' and 'd' or 'e', value }
end

-- E: somebody does not want the outcome any more. Why: d deadline of its own, g gone, c BUS.CANCEL.
function orders.E()
  local id, why = word(), word()
  local c = load(id)
  if not c then return { 'n' } end
  if c.s ~= 'q' and c.s ~= 'f' then
    if why == 'c' then return { 0 } end
    local value = call('HGET', P .. 'k:' .. id, 'v')
    release(id, c, 1)
    return { c.s == 'd' and 'd' or 'e', value }
  end
  if why == 'c' then
    finish(id, c, c.s == 'f' and 'c' or 'e', 'CANCELLED the call was cancelled')
    return { 1 }
  end
  if c.z or (c.j and call('HINCRBY', P .. 'k:' .. id, 'j', -1) > 0) then return { 'p' } end
  c.h = ''
  local text = why == 'd' and 'DEADLINE the call was not answered in time' or 'CANCELLED the caller is gone'
  if c.s == 'f' then
    finish(id, c, 'c', text)
  else
    leave_queue(c)
    unshare(id, c)
    forget(id)
    failed[#failed + 1] = c.m
    failed[#failed + 1] = text
  end
  return { 'p' }
end

-- L: a worker's connection is gone ('1': before the worker saw the call).
function orders.L()
  local id, token, unseen = word(), word(), word()
  local c = load(id)
  if not c or c.s ~= 'f' or c.t ~= token then return { 0 } end
  if unseen == '1' and tonumber(c.d) > now then
    put_back(id, c, tonumber(c.n) - 1)
  else
    lost(id, c)
  end
  return { 1 }
end

-- X: callers here have an outcome.
function orders.X()
  local id, count = word(), tonumber(word())
  local c = call('HMGET', P .. 'k:' .. id, 's', 'z', 'j')
  if c[1] then release(id, { s = c[1], z = c[2], j = c[3] }, count) end
  return 0
end

-- W: a worker is heard of.
function orders.W()
  local worker, patterns = word(), word()
  touch(worker, patterns)
  return 0
end

-- I: fetches wait here.
function orders.I()
  show_interest()
  return 0
end

-- B: a beat. Extends some calls, asks about others.
function orders.B()
  local worker, extend, all = word(), tonumber(word()), tonumber(word())
  touch(worker, '')
  local gone, cancelled, extended = {}, {}, {}
  for i = 1, all do
    local id = word()
    extended[i] = 0
    local c = load(id)
    if c and c.s == 'c' and c.r == worker then
      cancelled[#cancelled + 1] = id
    elseif not c or c.s ~= 'f' or c.r ~= worker then
      gone[#gone + 1] = id
    elseif i <= extend then
      extended[i] = options(c)
      local till = now + extended[i]
      call('HSET', P .. 'k:' .. id, 'u', till)
      look_again(id, math.min(till, tonumber(c.d)))
    end
  end
  return { gone, cancelled, extended }
end

look_at_due(LOOK)
local answers = {}
while at < #ARGV do
  answers[#answers + 1] = orders[word()]()
end
close()
local due = -1
if LOOK > 16 then
  local first = call('ZRANGE', P .. 't', 0, 0, 'WITHSCORES')
  if first[1] then due = math.max(0, tonumber(first[2]) - now) end
end
return { answers, ended, failed, queued_list(), workers or {}, due }
