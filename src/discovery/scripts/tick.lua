-- Replies OK epoch rev wait exists: `wait` until the next node lapses or is forgotten (-1: never).
sweep()
commit()
if known and idle then rest() end
local wait = -1
for _, key in ipairs({L, K}) do
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
  if first then
    local left = math.max(tonumber(first) - now, 0)
    if wait < 0 or left < wait then wait = left end
  end
end
local e, r = index()
return {'OK', e, r, wait, is_empty() and 0 or 1}
