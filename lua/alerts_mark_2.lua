-- Marks what became of a message on one channel.
--
-- KEYS  1 the message (hash)   2 open channels (sorted set of "id channel" by time)
-- ARGV  1 the message's id   2 the channel   3 what became of it
-- Reply  1 marked, 0 the message is no longer kept

redis.call('ZREM', KEYS[2], ARGV[1] .. ' ' .. ARGV[2])
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'to ' .. ARGV[2], ARGV[3])
return 1
