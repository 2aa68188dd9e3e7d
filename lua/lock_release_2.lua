-- Reduces the depth of a lock by one, if its owner still holds it by the same grant. At depth 0 the lock is free.
--
-- KEYS  1 the lock: "token depth id owner" (string)
--       2 the last fencing token, followed by the id of the request that released that grant; kept for a day (string)
-- ARGV  1 the owner
--       2 the fencing token
--       3 the request's id; a repeated request counts once
--       4 the channel on which releases are published
-- Reply  the depth that remains, -1 if the owner no longer held the lock

local id = 'release:' .. ARGV[3]
local lock = redis.call('GET', KEYS[1])
if not lock then
  if redis.call('GET', KEYS[2]) == ARGV[2] .. ' ' .. id then return 0 end
  return -1
end
local token, depth, last_id, owner = string.match(lock, '^(%d+) (%d+) (%S+) (.*)$')
if owner ~= ARGV[1] or token ~= ARGV[2] then return -1 end
depth = tonumber(depth)
if id == last_id then return depth end
if depth > 1 then
  local remaining = string.format('%.0f', depth - 1)
  redis.call('SET', KEYS[1], token .. ' ' .. remaining .. ' ' .. id .. ' ' .. owner, 'KEEPTTL')
  return depth - 1
end
redis.call('SET', KEYS[2], token .. ' ' .. id, 'EX', 86400)
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[4], '')
return 0
