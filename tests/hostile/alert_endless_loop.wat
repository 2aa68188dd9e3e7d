;; Loops forever in an alert condition.
;; shell: alert
;; expect: fault deadline
(core module $guest
  (import "libc" "memory" (memory 1))
  (import "host" "window" (func $window (param $range-ms i64) (param $stats i32)))
  (func (export "evaluate") (param $snapshot i32) (result i32)
    ;; An attack is a snapshot of more than 600 calls.
    (if (i64.gt_u (i64.load offset=24 (local.get $snapshot)) (i64.const 600))
      (then
        (loop $again (br $again))))
    (i32.const 64)))
