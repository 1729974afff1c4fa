-- ARGV: 5 service, 6 "*" for the nodes of all services or ""
-- Replies OK epoch rev changed, then for each node: member record left (-1: no TTL) live.
sweep()
commit()
local members, changed
local there, most = redis.call('ZCARD', I), MOST_NODES
if ARGV[6] ~= '*' then
  there, most = redis.call('ZLEXCOUNT', I, first_of(ARGV[5]), after_last_of(ARGV[5])), MOST_OF_SERVICE
end
if there > most then return too_many(I, there, most) end
if ARGV[6] == '*' then
  members, changed = redis.call('ZRANGE', I, 0, -1), rev
else
  members = redis.call('ZRANGEBYLEX', I, first_of(ARGV[5]), after_last_of(ARGV[5]))
  changed = revision_of(ARGV[5])
end
local e, r = index()
local reply, n, bytes = {'OK', e, r, text(changed)}, 4, 0
for _, member in ipairs(members) do
  local record, left, live = look(member)
  if record then
    bytes = bytes + #member + #record
    if bytes > MOST_REPLY then return too_long(N, MOST_REPLY) end
    reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = member, record, left, live and 1 or 0
    n = n + 4
  end
end
return reply
