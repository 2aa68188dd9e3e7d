;; Uses a data segment that it dropped.
;; shell: retry
;; expect: fault trap
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (data $words "words")
  (func $classify (export "classify") (param $failure i32) (result i32)
    (if (i32.ne (i32.load offset=20 (local.get $failure)) (i32.const 1))
      (then
        (data.drop $words)
        (memory.init $words (i32.const 0) (i32.const 0) (i32.const 5))))
    (i32.const 64)))
