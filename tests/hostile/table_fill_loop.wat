;; Fills a table of 20,000 entries forever.
;; shell: retry
;; expect: fault deadline
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (table 20000 funcref)
  (elem declare func $nothing)
  (func $nothing)
  (func $classify (export "classify") (param $failure i32) (result i32)
    (if (i32.ne (i32.load offset=20 (local.get $failure)) (i32.const 1))
      (then
        (loop $again
          (table.fill (i32.const 0) (ref.func $nothing) (i32.const 19999))
          (br $again))))
    (i32.const 64)))
