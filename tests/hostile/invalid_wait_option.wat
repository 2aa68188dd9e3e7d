;; Returns a wait whose discriminant means neither present nor absent.
;; shell: retry
;; expect: fault type
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (data (i32.const 128) "\00" "\01\02")
  (data (i32.const 136) "\02")
  (func $classify (export "classify") (param $failure i32) (result i32)
    (if (i32.ne (i32.load offset=20 (local.get $failure)) (i32.const 1))
      (then
        (return (i32.const 128))))
    (i32.const 64)))
