;; Returns verdict number 9, which is neither quiet nor firing.
;; shell: alert
;; expect: fault type
(core module $guest
  (import "libc" "memory" (memory 1))
  (import "host" "window" (func $window (param $range-ms i64) (param $stats i32)))
  (data (i32.const 128) "\09")
  (func (export "evaluate") (param $snapshot i32) (result i32)
    ;; An attack is a snapshot of more than 600 calls.
    (if (i64.gt_u (i64.load offset=24 (local.get $snapshot)) (i64.const 600))
      (then
        (return (i32.const 128))))
    (i32.const 64)))
