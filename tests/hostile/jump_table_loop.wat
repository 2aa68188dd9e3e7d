;; Jumps forever through a jump table.
;; shell: retry
;; expect: fault deadline
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (func $classify (export "classify") (param $failure i32) (result i32)
    (if (i32.ne (i32.load offset=20 (local.get $failure)) (i32.const 1))
      (then
        (loop $a (loop $b (loop $c (br_table $a $b $c (i32.const 1)))))))
    (i32.const 64)))
