-- Takes a lock away from whoever holds it.
--
-- KEYS  1 the lock
-- ARGV  1 the channel that wakes who waits
-- Reply  1 somebody held it, 0 nobody did

local held = redis.call('DEL', KEYS[1])
if held == 1 then redis.call('PUBLISH', ARGV[1], '') end
return held
