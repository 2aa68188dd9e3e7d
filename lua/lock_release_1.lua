-- Gives a lock back once, where its owner holds it still by the same grant; with the last time it is free.
--
-- KEYS  1 the lock: "token depth id owner"
-- ARGV  1 owner   2 fencing token   3 id of the request: the same one counts once   4 the channel that wakes who waits
-- Reply  how often the owner holds it still, -1 where it held it no longer

local held = redis.call('GET', KEYS[1])
if not held then return -1 end
local token, depth, id, owner = string.match(held, '^(%d+) (%d+) (%S+) (.*)$')
if owner ~= ARGV[1] or token ~= ARGV[2] then return -1 end
depth = tonumber(depth)
if id == ARGV[3] then return depth end
if depth > 1 then
  local left = string.format('%.0f', depth - 1)
  redis.call('SET', KEYS[1], token .. ' ' .. left .. ' ' .. ARGV[3] .. ' ' .. owner, 'KEEPTTL')
  return depth - 1
end
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[4], '')
return 0
