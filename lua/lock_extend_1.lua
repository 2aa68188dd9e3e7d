-- Lets a lock end later, where its owner holds it still by the same grant.
--
-- KEYS  1 the lock: "token depth id owner"
-- ARGV  1 owner   2 fencing token   3 ttl in ms from now
-- Reply  1 extended, 0 not held any more

local held = redis.call('GET', KEYS[1])
if not held then return 0 end
local token, _, _, owner = string.match(held, '^(%d+) (%d+) (%S+) (.*)$')
if owner ~= ARGV[1] or token ~= ARGV[2] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[3])
