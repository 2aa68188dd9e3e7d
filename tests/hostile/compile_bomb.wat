;; Nests 1,000 loops that change the same eight variables, which a compiler merges at the start of every loop.
;; shell: retry
;; expect: rejected "unreachable"
(core module $guest
  (func (param i32) (local i32 i32 i32 i32 i32 i32 i32 i32)
    <<1000 times loop
      local.get 1 local.get 2 i32.add local.set 1 local.get 2 local.get 3 i32.add local.set 2
      local.get 3 local.get 4 i32.add local.set 3 local.get 4 local.get 5 i32.add local.set 4
      local.get 5 local.get 6 i32.add local.set 5 local.get 6 local.get 7 i32.add local.set 6
      local.get 7 local.get 8 i32.add local.set 7 local.get 8 local.get 1 i32.add local.set 8
      local.get 1 br_if 0
    >>
    <<1000 times end >>)
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
