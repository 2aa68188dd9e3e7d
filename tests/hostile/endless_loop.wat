;; Returns a verdict for the first attempt and loops forever on all others, which no check at load detects.
;; shell: retry
;; expect: fault deadline
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (func (export "classify") (param $failure i32) (result i32)
    (if (i32.ne (i32.load offset=20 (local.get $failure)) (i32.const 1))
      ;; Only the deadline, an epoch of the engine, ends this loop.
      (then (loop $again (br $again))))
    (i32.const 64)))
