;; Computes with vector instructions forever.
;; shell: retry
;; expect: fault deadline
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (func $classify (export "classify") (param $failure i32) (result i32) (local $v v128)
    (if (i32.ne (i32.load offset=20 (local.get $failure)) (i32.const 1))
      (then
        (loop $again
          (local.set $v (f64x2.sqrt (f64x2.add (local.get $v) (v128.const f64x2 1 2))))
          (br $again))))
    (i32.const 64)))
