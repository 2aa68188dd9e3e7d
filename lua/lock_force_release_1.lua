-- Releases a lock regardless of its owner.
--
-- KEYS  1 the lock (string)
-- ARGV  1 the channel on which releases are published
-- Reply  1 the lock was held, 0 it was not

local removed = redis.call('DEL', KEYS[1])
if removed == 1 then redis.call('PUBLISH', ARGV[1], '') end
return removed
