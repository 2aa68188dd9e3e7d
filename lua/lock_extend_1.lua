-- Extends a lock that its owner still holds by the same grant; never shortens it.
--
-- KEYS  1 the lock: "token depth id owner" (string)
-- ARGV  1 the owner
--       2 the fencing token
--       3 the TTL in ms from now
-- Reply  1 the lock expires no sooner than that, 0 it is no longer held
--
-- An owner may hold a lock several times with different TTLs: a shorter one must not shorten a longer one.

local lock = redis.call('GET', KEYS[1])
if not lock then return 0 end
local token, _, _, owner = string.match(lock, '^(%d+) (%d+) (%S+) (.*)$')
if owner ~= ARGV[1] or token ~= ARGV[2] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[3], 'GT')
return 1
