-- Gives a lock back once, where its owner holds it still by the same grant; with the last time it is free.
--
-- KEYS  1 the lock: "token depth id owner"
--       2 the last fencing token, kept for a day; behind it the id of the request that gave that grant back
-- ARGV  1 owner   2 fencing token   3 id of the request: the same one counts once   4 the channel that wakes who waits
-- Reply  how often the owner holds it still, -1 where it held it no longer

local id = 'release:' .. ARGV[3]
local held = redis.call('GET', KEYS[1])
if not held then
  if redis.call('GET', KEYS[2]) == ARGV[2] .. ' ' .. id then return 0 end
  return -1
end
local token, depth, last, owner = string.match(held, '^(%d+) (%d+) (%S+) (.*)$')
if owner ~= ARGV[1] or token ~= ARGV[2] then return -1 end
depth = tonumber(depth)
if id == last then return depth end
if depth > 1 then
  local left = string.format('%.0f', depth - 1)
  redis.call('SET', KEYS[1], token .. ' ' .. left .. ' ' .. id .. ' ' .. owner, 'KEEPTTL')
  return depth - 1
end
redis.call('SET', KEYS[2], token .. ' ' .. id, 'EX', 86400)
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[4], '')
return 0
