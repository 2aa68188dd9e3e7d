;; Never ends, as an alert condition.
;; shell: alert
;; expect: fault deadline
(core module $guest
  (import "libc" "memory" (memory 1))
  (import "host" "window" (func $window (param $range-ms i64) (param $figures i32)))
  (func (export "evaluate") (param $snapshot i32) (result i32)
    ;; A snapshot of more than 600 calls is an attack.
    (if (i64.gt_u (i64.load offset=24 (local.get $snapshot)) (i64.const 600))
      (then
        (loop $again (br $again))))
    (i32.const 64)))
