;; Its function has a name of 100,000 letters, and it traps in it at once.
;; shell: retry
;; expect: refused "unreachable"
(core module $guest
  (func $<<100000 times x>> (export "x") (unreachable))
  (start $<<100000 times x>>)
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
