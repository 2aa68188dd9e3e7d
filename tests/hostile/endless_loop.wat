;; Answers the first attempt, and never answers any other: no load check can know that.
;; shell: retry
;; expect: fault deadline
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (func (export "classify") (param $failure i32) (result i32)
    (if (i32.ne (i32.load offset=20 (local.get $failure)) (i32.const 1))
      ;; The only way out of this loop is the epoch's deadline.
      (then (loop $again (br $again))))
    (i32.const 64)))
