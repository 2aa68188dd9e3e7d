-- Lets a lock end later, never sooner, where its owner holds it still by the same grant.
--
-- KEYS  1 the lock: "token depth id owner"
-- ARGV  1 owner   2 fencing token   3 ttl in ms from now
-- Reply  1 it ends no sooner than that, 0 not held any more
--
-- One owner may hold a lock several times with several ttls: the shorter one must not end it for the longer one.

local held = redis.call('GET', KEYS[1])
if not held then return 0 end
local token, _, _, owner = string.match(held, '^(%d+) (%d+) (%S+) (.*)$')
if owner ~= ARGV[1] or token ~= ARGV[2] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[3], 'GT')
return 1
