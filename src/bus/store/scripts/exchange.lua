-- What happens to calls, many at a time: a Respite sends all that has come together as one list of orders.
-- ARGV: Respite, bus, worker ttl, stamp of the registry that it knows, how many due calls to look at, then the
-- orders, each a letter and its words, in this order: D V O R E L X Y C T B W I Q H F.
-- Gives: an answer per order, calls ended for this Respite, failures, methods with queued calls, workers
-- alive (if a call found none), and if it was to look at due calls: the time until the next one is due, how many other
-- Respites have fetches that wait.
--
-- A function costs time when it is made, and `learn` makes many: the usual orders do without.
local TTL, STAMP, LOOK = tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local INTEREST = 10000  -- how long a Respite gets hints after it last asked for them
local SAID = 3000       -- how long is believed what it says of its direct calls
local rare = nil
local answers, n = {}, 0
local workers = nil
local due = {}       -- for the list of calls: when, call
local acks = {}      -- method -> places that have ended
local delivered, undelivered = {}, {}  -- for the list of deliveries
local taken, forgotten = {}, {}        -- outcomes, and their calls
local over = {}      -- calls that were answered in this exchange
local stamp_us = string.format('%.0f', now_us)
local lengths, stamps, living = {}, {}, {}
local known, interested, retries = nil, false, nil
local spare = {}     -- method -> entries that were read for later fetches
local words = #ARGV
local at = 6
local phase = ''

-- Writes what was put together, so that what follows sees it.
local function settle()
  for method, places in pairs(acks) do
    local q = P .. 'q:' .. method
    call('XACK', q, 'g', unpack(places))
    call('XDEL', q, unpack(places))
    acks[method] = nil
  end
  if #undelivered > 0 then
    call('HDEL', P .. 'o', unpack(undelivered))
    undelivered = {}
  end
  if #taken > 0 then
    call('DEL', unpack(taken))
    call('ZREM', P .. 't', unpack(forgotten))
    taken, forgotten = {}, {}
  end
  if #due > 0 then
    in_parts('ZADD', P .. 't', due)
    due = {}
  end
  if #delivered > 0 then
    in_parts('HSET', P .. 'o', delivered)
    lease(P .. 'o', longest + GRACE)
    delivered = {}
  end
end

local function touch(worker, patterns)
  call('ZADD', P .. 'w', now + TTL, worker)
  if patterns ~= '' then call('HSET', P .. 'p', worker, patterns) end
  lease(P .. 'w', TTL)
  lease(P .. 'p', TTL)
  living[worker] = true
end

if LOOK > 0 then
  rare = learn()
  rare.look_at_due(LOOK)
end

while at <= words do
  local order = ARGV[at]
  local answer = 0
  if order ~= phase then
    -- Calls that end and calls that begin are put together as far as they stand together.
    settle()
    phase = order
  end

  if order == 'C' then
    -- A new call.
    local number, method, stamp, worker = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
    local kept, timeout, most, mode = ARGV[at + 5], tonumber(ARGV[at + 6]), tonumber(ARGV[at + 7]), ARGV[at + 8]
    local key, meta = ARGV[at + 9], ARGV[at + 10]
    local current = stamps[method]
    if current == nil then
      current = call('HGET', P .. 'g', method)
      stamps[method] = current
    end
    answer = nil
    if not current then
      answer = { 'M' }
    elseif current ~= stamp then
      answer = { 'G' }
    elseif key ~= '' then
      rare = rare or learn()
      answer = rare.cached(number, method, kept, mode, key, meta)
    end
    -- w: it waited for a worker already.
    if not answer and kept == '0' and mode ~= 'w' then
      if living[worker] == nil then
        local till = worker ~= '' and call('ZSCORE', P .. 'w', worker)
        living[worker] = till and tonumber(till) > now or false
      end
      if not living[worker] then
        rare = rare or learn()
        workers = rare.living()
        answer = { 'W' }
      end
    end
    if not answer and key ~= '' then answer = rare.join(method, kept, timeout, mode, key) end
    if not answer then
      local q = P .. 'q:' .. method
      local length = lengths[method] or call('XLEN', q)
      lengths[method] = length
      if length >= most then
        answer = { 'B' }
      else
        if not leases[q] then
          local ttl = call('PTTL', q)
          if ttl == -2 then call('XGROUP', 'CREATE', q, 'g', '0', 'MKSTREAM') end
          leases[q] = ttl
          call('SADD', P .. 's', method)
          lease(P .. 's', timeout + GRACE)
        end
        local x = call('XADD', q, '*', 'm', stamp_us .. ' ' .. meta, 'a', ARGV[at + 11])
        if leases[q] < timeout + GRACE then
          leases[q] = timeout + 2 * GRACE
          call('PEXPIRE', q, leases[q])
        end
        lengths[method] = length + 1
        queued[method] = (queued[method] or 0) + 1
        local id = number .. '.' .. x .. '.' .. method
        due[#due + 1] = now + timeout
        due[#due + 1] = id
        if timeout > longest then longest = timeout end
        if key ~= '' then rare.shared(id, method, key, timeout) end
        answer = { 'Q', id }
      end
    end
    at = at + 12

  elseif order == 'F' then
    -- A worker wants calls. It goes without when the time of one that it could have is up: that one is due.
    local worker, patterns, token, count = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], tonumber(ARGV[at + 4])
    local globs, ahead, many = ARGV[at + 5], tonumber(ARGV[at + 6]), tonumber(ARGV[at + 7])
    local first = at + 8
    at = first + many
    if patterns ~= '' then touch(worker, patterns) end
    if globs == '1' then known = known or stamp_of('') or '0' end
    if globs == '1' and known ~= STAMP then
      answer = { 'G' }
    else
      if retries == nil then retries = call('EXISTS', P .. 'y') == 1 end
      local ready = nil
      if many > 8 and call('SCARD', P .. 's') + call('SCARD', P .. 'y') <= 10 * MOST_METHODS then
        ready = {}
        for _, method in ipairs(call('SMEMBERS', P .. 's')) do ready[method] = true end
        for _, method in ipairs(call('SMEMBERS', P .. 'y')) do ready[method] = true end
      end
      local found = {}
      for i = first, first + many - 1 do
        local method = ARGV[i]
        while retries and #found < count and volume < MOST_VOLUME do
          rare = rare or learn()
          local c, deliveries = rare.again(method)
          if not c then break end
          local t, till = token .. '-' .. #found, now + c.visibility
          delivered[#delivered + 1] = c.id
          delivered[#delivered + 1] = table.concat({ t, deliveries + 1, till, stamp_us }, ' ')
            .. '\n' .. worker .. '\n' .. c.meta
          if till < c.d then
            due[#due + 1] = till
            due[#due + 1] = c.id
          end
          if c.d - now > longest then longest = c.d - now end
          -- How long it was queued is known of its first delivery alone.
          local queued_us = deliveries == 0 and now_us - match(c.meta, '^%d+') or -1
          found[#found + 1] = { c.id, c.d - now, deliveries + 1, c.a, queued_us, t, c.visibility }
          volume = volume + #c.a
        end
        local entries = spare[method]
        while #found < count and volume < MOST_VOLUME and (not ready or ready[method]) do
          if not entries or #entries == 0 then
            local q = P .. 'q:' .. method
            if entries == false or call('XLEN', q) == 0 then break end
            local read = call('XREADGROUP', 'GROUP', 'g', 'r', 'COUNT', count - #found + ahead, 'STREAMS', q, '>')
            if not read then
              entries = false
              spare[method] = false
              call('SREM', P .. 's', method)
              break
            end
            entries = read[1][2]
            -- From the end on, so that taking one is cheap.
            local half = #entries
            for j = 1, math.floor(half / 2) do
              entries[j], entries[half + 1 - j] = entries[half + 1 - j], entries[j]
            end
            spare[method] = entries
          end
          local entry = table.remove(entries)
          local x, fields = entry[1], entry[2]
          local meta = fields[2]
          local born, number, timeout, visibility, key = match(meta,
            '^(%d+) (%S+) (%d+) (%d+) %d+ %d+ %d %d+ %d %S+ ?(.*)$')
          local id = number .. '.' .. x .. '.' .. method
          local deadline, till = match(x, '^%d+') + timeout, now + visibility
          if key ~= '' then
            -- Others may wait for it longer.
            deadline = tonumber(call('HGET', P .. 'k:' .. number, 'd') or deadline)
          end
          if #fields[4] > MOST_BODY or #number > LONGEST_STAMP then
            -- No call of any Respite.
            call('XACK', P .. 'q:' .. method, 'g', x)
            call('XDEL', P .. 'q:' .. method, x)
          elseif deadline > now then
            local t = token .. '-' .. #found
            delivered[#delivered + 1] = id
            delivered[#delivered + 1] = t .. ' 1 ' .. till .. ' ' .. stamp_us .. '\n' .. worker
              .. '\n' .. meta
            if till < deadline then
              due[#due + 1] = till
              due[#due + 1] = id
            end
            if deadline - now > longest then longest = deadline - now end
            found[#found + 1] = { id, deadline - now, 1, fields[4], now_us - born, t, tonumber(visibility) }
            volume = volume + #fields[4]
          end
        end
        if #found >= count then break end
      end
      if #found > 0 then
        answer = { 'D', found }
      elseif volume >= MOST_VOLUME then
        answer = { 'A' }
      else
        if not interested then
          interested = true
          call('ZADD', P .. 'i', now + INTEREST, ME)
          lease(P .. 'i', INTEREST)
        end
        answer = { 'N' }
      end
    end

  elseif order == 'R' then
    -- A worker's outcome: usually success, of a call that nobody shares.
    local id, token, kind, value = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
    local delivery = call('HGET', P .. 'o', id)
    local t, l, number, timeout, kept, home, key
    if delivery then
      t, l, number, timeout, kept, home, key = match(delivery,
        '^(%S+) %d+ %d+ (%d+)\n[^\n]*\n%d+ (%S+) (%d+) %d+ %d+ %d+ %d %d+ (%d) (%S+) ?(.*)$')
    end
    if t ~= token or over[id] then
      answer = { 0 }
    else
      answer = { 1, now_us - l }
      if kind == 'd' and key == '' and kept == '0' then
        call('SET', P .. 'r:' .. number, 'd' .. value, 'PX', TAKEN)
        local x, method = match(id, '^[^.]+%.([^.]+)%.(.+)$')
        local places = acks[method] or {}
        places[#places + 1] = x
        acks[method] = places
        undelivered[#undelivered + 1] = id
        if x == '0-1' then call('DEL', P .. 'k:' .. number) end
        if tonumber(timeout) > TAKEN then
          due[#due + 1] = now + TAKEN
          due[#due + 1] = id
        end
        if home ~= ME then
          local ids = homes[home] or {}
          ids[#ids + 1] = id
          homes[home] = ids
        end
      else
        settle()
        rare = rare or learn()
        rare.R(id, kind, value, ARGV[at + 5])
      end
      over[id] = true
    end
    at = at + 6

  elseif order == 'X' then
    -- A caller here has the outcome of its call.
    taken[#taken + 1] = P .. 'r:' .. match(ARGV[at + 1], '^[^.]+')
    forgotten[#forgotten + 1] = ARGV[at + 1]
    at = at + 2

  elseif order == 'T' and ARGV[at + 2] == 'look' then
    -- What is the outcome? One that is kept for others (x) need not be said to be taken.
    local id = ARGV[at + 1]
    local outcome = call('GET', P .. 'r:' .. (match(id, '^[^.]+') or ''))
    if outcome and #outcome > MOST_BODY + 1 then
      answer = { 'x', 'ERR the outcome has more bytes than one can have' }
    elseif outcome and not has_room(outcome) then
      answer = { 'A' }
    elseif outcome then
      local state = sub(outcome, 1, 1)
      answer = { state == 'c' and 'x' or state, sub(outcome, 2) }
    else
      answer = { call('ZSCORE', P .. 't', id) and 'p' or 'n' }
    end
    at = at + 3

  elseif order == 'W' then
    -- A worker is heard of.
    touch(ARGV[at + 1], ARGV[at + 2])
    at = at + 3

  elseif order == 'I' then
    -- Fetches wait here: is there something for them?
    call('ZADD', P .. 'i', now + INTEREST, ME)
    lease(P .. 'i', INTEREST)
    rare = rare or learn()
    answer = rare.ready()
    at = at + 1

  elseif order == 'Q' then
    -- Direct calls wait here: how many of which method. None: not any more.
    if ARGV[at + 1] == '' then
      call('HDEL', P .. 'l', ME)
    elseif call('EXISTS', P .. 'm') == 1 then
      call('HSET', P .. 'l', ME, now + SAID .. ARGV[at + 1])
      lease(P .. 'l', SAID)
    end
    at = at + 2

  elseif order == 'H' then
    -- This Respite wants to be asked before the registry changes. It also gets the time, and the secret of the bus.
    local stamp, secret = stamp_of('') or '0', ''
    if stamp ~= '0' then
      -- Without methods there is nothing to lease, and something in the way must not end all else.
      local added = redis.pcall('ZADD', P .. 'x', now + LEASE, ME)
      if type(added) == 'table' then stamp = '' else lease(P .. 'x', LEASE) end
      call('HSETNX', P .. 'g', SECRET, ARGV[at + 1])
      secret = sub(call('HGET', P .. 'g', SECRET), 1, LONGEST_STAMP)
    end
    answer = { stamp, string.format('%.0f', now_us), secret }
    at = at + 2

  elseif order == 'B' then
    local worker, extend, all = ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
    local ids = {}
    for i = 1, all do ids[i] = ARGV[at + 3 + i] end
    touch(worker, '')
    rare = rare or learn()
    answer = rare.B(worker, extend, ids)
    at = at + 4 + all

  else
    rare = rare or learn()
    if order == 'E' then
      answer = rare.E(ARGV[at + 1], ARGV[at + 2])
      at = at + 3
    elseif order == 'T' then
      answer = rare.T(ARGV[at + 1])
      at = at + 3
    elseif order == 'Y' then
      answer = rare.Y(ARGV[at + 1], ARGV[at + 2])
      at = at + 3
    elseif order == 'D' then
      answer = rare.D(unpack(ARGV, at + 1, at + 7))
      at = at + 8
    elseif order == 'V' then
      answer = rare.V(ARGV[at + 1])
      at = at + 2
    elseif order == 'O' then
      answer = rare.O(ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])
      at = at + 4
    else
      answer = rare.L(ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])
      at = at + 4
    end
  end
  n = n + 1
  answers[n] = answer
end
-- Fetches that had something else to do left entries unread.
for method, entries in pairs(spare) do
  for _, entry in ipairs(entries or {}) do
    rare = rare or learn()
    rare.leave(method, entry[1], entry[2][2])
  end
end
settle()
close()
local next_due, others = -1, nil
if LOOK > 0 then
  others = call('ZCOUNT', P .. 'i', '(' .. now, '+inf')
  if tonumber(call('ZSCORE', P .. 'i', ME) or 0) > now then others = others - 1 end
  local first = call('ZRANGE', P .. 't', 0, 0, 'WITHSCORES')
  if first[1] then next_due = math.max(0, tonumber(first[2]) - now) end
end
return { answers, ended, failed, queued_list(), workers or {}, next_due, others }
