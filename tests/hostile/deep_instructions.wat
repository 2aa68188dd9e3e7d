;; Blocks in blocks, 20,000 deep.
;; shell: retry
;; expect: refused "unreachable"
(core module $guest
  (func
    <<20000 times block >>
    <<20000 times end >>)
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
