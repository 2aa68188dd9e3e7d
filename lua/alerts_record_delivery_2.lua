-- Records the result of delivering a notification to one channel.
--
-- KEYS  1 the notification (hash)
--       2 undelivered notifications (sorted set of "id channel", scored by time)
-- ARGV  1 the notification's id
--       2 the channel
--       3 the result
-- Reply  1 recorded, 0 the notification is no longer kept

redis.call('ZREM', KEYS[2], ARGV[1] .. ' ' .. ARGV[2])
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'to ' .. ARGV[2], ARGV[3])
return 1
